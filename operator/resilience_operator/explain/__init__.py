"""A policy in plain words: status, spec and what stands in the way, as sentences. Pure: no terminal, no page."""
