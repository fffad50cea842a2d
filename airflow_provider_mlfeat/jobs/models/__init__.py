"""Jobs on registered models: the gate, registration, promotion, rollback."""
