"""Serving: Triton's model repository and control, and the server that answers requests."""
