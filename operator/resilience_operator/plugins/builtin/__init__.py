"""The built-in notifiers: plugins registered by entry points of the operator's own package."""
