"""Compares autoscalers on recorded and synthetic load, in one discrete-time model of a service and its metrics."""
