"""`kubectl resilience lint`: checks policy files without a cluster."""
