"""Metrics, traces, logs and history of the process. Imports nothing of `evaluation`."""
