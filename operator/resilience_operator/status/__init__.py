"""Renders a decision as the policy's `status`, which users, scripts and a restarted operator read. No I/O."""
