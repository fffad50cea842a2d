"""Tests of the Spark driver: most run its workers' code in this process, some run a session."""
