"""Jobs on the online store."""
