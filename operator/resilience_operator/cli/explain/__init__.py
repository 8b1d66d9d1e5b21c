"""`explain`: a policy in plain words. Its status, its spec and what stands in the way, as sentences. Pure."""
