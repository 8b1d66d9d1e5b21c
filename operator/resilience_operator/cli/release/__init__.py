"""`kubectl resilience release`: ends the quarantine of a revision."""
