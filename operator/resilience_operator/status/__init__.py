"""From a decision to the policy's `status`: what people and scripts read, and what a restart takes up. No I/O."""
