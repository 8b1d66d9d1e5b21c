"""The dashboard: pages about the policies of this process. It reads what is in memory anyway, and writes nothing.

Nobody looking costs nothing but the points that `runtime.track` keeps. Whatever is shown comes from the policies
themselves, never from the configuration. See docs/dashboard.md and docs/adr/0012-dashboard.md.
"""
