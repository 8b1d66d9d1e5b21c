"""`simulate`: a scenario file, a service that exists only in numbers, and the policy run against it."""
