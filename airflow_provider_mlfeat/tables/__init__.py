"""Offline tables: typed, versioned Delta tables below one root, what is loaded into them and written out of them."""
