"""The decision: a pure function from values to a `Decision` with its reasons.

This package reads no clock, does no I/O and imports neither Kopf nor the Kubernetes client, so live evaluation,
dry run, replay and simulation share the same code. Times are seconds since the epoch (float) and are passed in.
"""
