"""Purchase-intention data in the shape of the JD sample: its cardinalities and habits, invented people and goods."""
