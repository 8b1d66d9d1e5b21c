"""The connection to the API server: calls, credentials, errors, decoding."""
