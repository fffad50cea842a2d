"""Random tables and queries on every driver and on the slow evaluator: all answers must be the same bits."""
