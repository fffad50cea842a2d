"""What runs inside Triton's python backend: copied beside a model, importing nothing of this package."""
