"""Sub-commands of ``mlfeat`` that belong to jobs themselves."""
