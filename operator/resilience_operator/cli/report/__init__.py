"""The result of a replay or a simulation: as text, JSON, chart or HTML page."""
