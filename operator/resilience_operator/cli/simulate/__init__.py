"""`kubectl resilience simulate`: a policy against a simulated service. No I/O but files."""
