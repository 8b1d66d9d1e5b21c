"""Metric sources: the protocol and the registry."""
