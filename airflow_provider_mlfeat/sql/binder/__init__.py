"""From syntax to plan: names, types, windows, joins and aggregates."""
