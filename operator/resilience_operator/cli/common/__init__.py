"""Shared code of the commands: the console, options, documents, the connection to a cluster."""
