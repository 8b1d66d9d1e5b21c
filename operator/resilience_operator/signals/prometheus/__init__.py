"""The Prometheus source: HTTP, credentials, responses."""
