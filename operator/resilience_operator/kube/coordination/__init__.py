"""Which replica does what: leader election and shards on Leases."""
