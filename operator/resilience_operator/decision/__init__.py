"""Deciding: values in, a `Decision` with its reason out.

Nothing in this folder reads a clock, opens a connection or knows Kopf or the Kubernetes client, so that the
live loop, dry-run, replay and simulate all judge by the very same code. Times are seconds since the epoch (float)
and are passed in.
"""
