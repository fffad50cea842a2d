"""The gate: declared rules, the evidence for them, and a decision that can be read years later."""
