"""The dashboard: pages about the policies of this process. It reads what is in memory anyway, and writes nothing.

Without viewers it costs only the points that `runtime.telemetry.history` keeps. All it shows comes from the policies
themselves, never from the configuration. See docs/dashboard.md and docs/adr/0017-dashboard.md.
"""
