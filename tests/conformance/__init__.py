"""Runs files of language cases on any driver: ``python tests/conformance/run.py --cases FILE --engine ENGINE``."""
