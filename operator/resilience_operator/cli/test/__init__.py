"""`kubectl resilience test`: runs scenario files as tests, each with several seeds."""
