"""From observations to verdicts: statistical tests of a signal, and the timers of a condition."""
