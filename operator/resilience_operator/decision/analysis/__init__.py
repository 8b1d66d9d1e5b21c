"""From observations to verdicts: statistics of one signal, and the timers of a condition."""
