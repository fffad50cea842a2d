"""Hooks: what a connection says, and whether the service behind it answers."""
