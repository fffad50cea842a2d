"""Jobs on Triton servers: deploy, roll back, unload, score."""
