"""How good scores are: metrics with intervals, baselines, slices, and the folder that keeps them."""
