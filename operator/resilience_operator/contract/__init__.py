"""Contract tests: a plugin's author runs them to check that the operator can use the plugin.

    pip install resilience-operator pytest
    python -m resilience_operator.contract --plugin NAME

See `docs/plugins.md`. This package is for authors: the operator never imports it.
"""
