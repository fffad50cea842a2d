"""Online features: history per key, deployments of feature SQL, and answers for single requests."""
