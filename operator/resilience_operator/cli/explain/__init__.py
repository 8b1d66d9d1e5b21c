"""`kubectl resilience explain`: the state of one policy in sentences, and what blocks action."""
