"""`kubectl resilience status`: the state of policies, one line each."""
