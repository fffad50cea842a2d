"""Airflow operators for feature SQL, DeepFM training, the gate, MLflow registration and Triton deployment."""

__version__ = "0.1.0"
