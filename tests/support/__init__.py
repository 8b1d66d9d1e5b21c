"""What the e2e tests, the benchmarks and the demo share: installing, running the operator, workloads, waiting."""
