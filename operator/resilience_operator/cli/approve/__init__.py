"""`kubectl resilience approve` and `deny`."""
