"""What a run was and how good its model is, as one page and as pictures."""
