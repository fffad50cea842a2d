"""The registry: MLflow runs, model versions, aliases, and the gate before them."""
