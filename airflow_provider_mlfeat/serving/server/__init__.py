"""The HTTP server: features and predictions for single requests."""
