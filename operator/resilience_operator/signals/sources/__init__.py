"""What a metric source is, and which ones there are."""
