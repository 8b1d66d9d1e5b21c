"""What `status`, `explain` and `history` make of a policy's status. Pure: documents in, plain data out."""
