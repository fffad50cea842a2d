"""Operators: each builds a job, hands it to a runtime, waits, and reports."""
