"""`kubectl resilience convert`: policies from autoscalers, and from analyses of releases."""
