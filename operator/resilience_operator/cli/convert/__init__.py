"""`kubectl resilience convert`: policies from HPAs and KEDA ScaledObjects."""
