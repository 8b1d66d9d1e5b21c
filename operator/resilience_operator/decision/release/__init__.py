"""The release: its life cycle, whether it caused a breach, and what to do about it."""
