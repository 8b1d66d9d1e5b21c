"""Evaluating policies: collect, decide, act. The only writers of a policy's state."""
