"""Feature queries as jobs: a script, files as its tables, and a driver."""
