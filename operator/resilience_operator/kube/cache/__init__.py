"""Objects kept in memory: list and watch, and what is kept of each kind."""
