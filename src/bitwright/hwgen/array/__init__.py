"""Array machines: one engine kind with its buffers and its control, as a matrix multiplier."""
