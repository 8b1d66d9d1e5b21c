"""When policies are evaluated, and how many at once. Knows nothing of what an evaluation does."""
