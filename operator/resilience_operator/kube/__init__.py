"""Kubernetes access: the only package that imports the client. Maps its errors to `resilience.errors`.

Objects are the JSON that the API server sent (`dict`), never the client's generated models. Those cost more time and
memory than the rest of an evaluation. No kopf and no decisions in this package.
"""
