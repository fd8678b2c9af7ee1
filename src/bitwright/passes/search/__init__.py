"""The choice of a design for a model: what there is to choose from, in which order, and why."""
