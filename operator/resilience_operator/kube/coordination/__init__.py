"""Coordination of replicas: leader election and shards on Leases."""
