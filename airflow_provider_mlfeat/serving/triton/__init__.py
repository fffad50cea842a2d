"""NVIDIA Triton: the model repository, the servers that read it, and how a version goes live and comes back."""
