"""`kubectl resilience simulate`: runs a policy on a simulated service. The only I/O is files."""
