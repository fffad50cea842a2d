"""Jobs on datasets."""
