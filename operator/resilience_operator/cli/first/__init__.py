"""`init`: a first policy for a workload, from what its Prometheus has recorded of it."""
