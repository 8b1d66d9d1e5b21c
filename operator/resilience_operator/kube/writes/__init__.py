"""Changes to objects, each checked against what the decision saw."""
