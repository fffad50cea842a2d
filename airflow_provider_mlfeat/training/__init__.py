"""Models and their training: DeepFM and others, the trainer, metrics, reports and exports."""
