"""Triggers: wait for jobs without holding a worker slot."""
