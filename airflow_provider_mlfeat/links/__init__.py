"""Extra links: from a task to where its work can be seen."""
