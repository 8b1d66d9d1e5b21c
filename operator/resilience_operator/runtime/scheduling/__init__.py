"""When policies are evaluated, and how many at once. Independent of what an evaluation does."""
