"""Runs a policy over recorded data or a simulated workload, with the `decide` of the operator. Only the CLI uses it."""
