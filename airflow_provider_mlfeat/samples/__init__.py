"""Synthetic data of the example pipelines, the same on every machine."""
