"""resilience-operator: keeps Kubernetes workloads inside their objectives."""

__version__ = "0.1.0"
