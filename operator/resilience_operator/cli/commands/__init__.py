"""The commands of `kubectl resilience`, one a file: arguments and help. What does the work is imported when it runs."""
