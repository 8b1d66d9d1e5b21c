"""Metrics, traces, logs and history of the process itself. Imports nothing of `evaluation`."""
