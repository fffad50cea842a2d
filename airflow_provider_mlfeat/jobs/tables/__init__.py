"""Jobs on tables: create, load, check, extract features, export, and whole scripts."""
