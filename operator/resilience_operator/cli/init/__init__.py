"""`kubectl resilience init`: proposes a policy from recorded metrics."""
