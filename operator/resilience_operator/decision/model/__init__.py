"""The values that the decision works on: policy, target, observations, commands and memory."""
