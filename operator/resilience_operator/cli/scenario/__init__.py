"""Scenario files: their fields, how they are run, and how their expectations are checked. No cluster is needed."""
