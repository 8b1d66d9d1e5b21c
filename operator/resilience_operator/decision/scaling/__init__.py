"""Computes how many pods the target should have.

Up: to the largest number that a rule in breach requests, within the maximum. Pods that are not ready yet count as
pending capacity, so the same need is not requested twice. Down: one step after each stable period, and never to a size
at which a rule would immediately scale up again.
"""
