"""An action, a metric source and a notifier on plain files."""
