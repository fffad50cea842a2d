"""Sensors: wait for something outside this DAG run."""
