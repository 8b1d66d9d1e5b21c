"""The command lines: `resilience-operator`, and the `kubectl resilience` plugin."""
