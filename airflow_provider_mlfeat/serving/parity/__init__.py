"""Parity: past requests go through the path that serves, and must give the numbers that training used."""
