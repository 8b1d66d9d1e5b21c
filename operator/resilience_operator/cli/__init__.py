"""What people type: `resilience-operator`, and the `kubectl resilience` plugin."""
