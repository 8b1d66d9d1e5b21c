"""Tests that a plugin's author runs on a plugin, to know that the operator can use it.

    pip install resilience-operator pytest
    python -m resilience_operator.contract --plugin NAME

`docs/plugins.md` says more. This package is for authors: the operator itself never imports it.
"""
