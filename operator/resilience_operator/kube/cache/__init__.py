"""Caches of API objects: list and watch, and the projection of each kind."""
