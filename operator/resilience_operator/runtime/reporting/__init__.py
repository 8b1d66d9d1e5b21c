"""Reports results to people: statuses, Events, notifications."""
