"""Datasets: the typed encoder that training and serving share, splits, and files that map into memory."""
