"""What several commands share: the console, options, documents, the connection to a cluster."""
