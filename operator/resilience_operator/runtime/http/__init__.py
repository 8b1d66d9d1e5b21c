"""HTTP endpoints: probes, metrics, dashboard, and the server for them."""
