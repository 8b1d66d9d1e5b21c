"""Policy evaluation: collect, decide, act. The only writer of a policy's state."""
