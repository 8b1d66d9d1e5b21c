"""The HTTP endpoints: health, metrics, and the server for them."""
