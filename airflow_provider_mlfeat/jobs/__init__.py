"""Jobs: the unit of work. A typed spec goes in, a typed result comes out, wherever it runs."""
