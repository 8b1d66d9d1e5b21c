"""Explains a policy in sentences: its state, its rules and its blockers. Pure: no terminal, no HTML."""
