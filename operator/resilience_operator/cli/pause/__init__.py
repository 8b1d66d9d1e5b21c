"""`kubectl resilience pause` and `resume`."""
