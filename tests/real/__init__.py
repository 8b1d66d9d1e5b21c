"""The operator as people run it: its own image in a pod, guarding a service that burns CPU for real requests."""
