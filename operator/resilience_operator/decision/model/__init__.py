"""The value types of the decision: policy, target, observations, commands and memory."""
