"""The embedded store: history in memory-mapped files of this machine."""
