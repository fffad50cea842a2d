"""The Redis store: history that servers on many machines share."""
