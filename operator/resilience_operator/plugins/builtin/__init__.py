"""The notifiers that come with the operator: they are plugins like any other, by entry points of its own package."""
