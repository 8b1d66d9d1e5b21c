"""`kubectl resilience history`: the last decisions of a policy."""
