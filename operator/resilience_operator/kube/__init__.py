"""Kubernetes: the one place that imports its client, and where its errors become `resilience.errors`.

Objects travel as the JSON that the API server sent (`dict`), never as the client's generated models, which
cost more time and memory than all the rest of an evaluation. No kopf here, and nothing is decided here.
"""
