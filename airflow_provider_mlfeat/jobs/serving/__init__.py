"""Jobs of serving: parity before, switching, asking, drift after."""
