"""What people read afterwards: statuses, Events, notifications."""
