"""How many pods the target should have.

Up: the largest number that the breached rules ask for, never above the maximum, and never twice for the same need: pods
that are not ready yet are capacity on its way. Down: one step after each stable period, and never to a size at which
some rule would at once ask for the step again.
"""
