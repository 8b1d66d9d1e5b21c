"""Queries to metric sources: planned, coalesced, scheduled, and their results extracted."""
