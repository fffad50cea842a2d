"""Benchmarks: they print one JSON line per figure, and prove equal answers before they print a ratio."""
