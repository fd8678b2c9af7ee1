"""The parts of the units of a pipeline, as far as look-up tables and flip-flops follow from them.

Each function states what its unit's module has; `resources.py` adds them up with the costs that are
fitted to syntheses (`costs/pipeline_*.json`, by `benchmarks/stage_costs.py`).
"""
