"""The dashboard: read-only pages about the policies of this process, served from memory.

Without viewers, its only cost is the points that `runtime.telemetry.history` keeps. Everything it shows comes from the
policies, never from the configuration. See docs/dashboard.md and docs/adr/0017-dashboard.md.
"""
