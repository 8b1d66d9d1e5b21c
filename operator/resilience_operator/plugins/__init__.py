"""Plugins: extensions in third-party packages, and their isolation.

There are three kinds, each an entry point of another package: metric sources, actions and notifiers
(`docs/plugins.md`). A plugin is third-party code, so every call goes through a `PluginRunner`: in threads of its own,
limited in time and number. Exceptions and invalid answers become `PluginFailed` and are counted. A failing plugin
affects only the policies that use it.

This module exports what plugin authors need; the rest of the package is internal.
"""

from resilience_operator.plugins.protocols import Action, ActionCall, GroupNotifier, Notification, Notifier
from resilience_operator.resilience import CallError, Deadline, GiveUp, TryAgain
from resilience_operator.signals.sources.protocol import Answer, MetricSource, Series

__all__ = [
    "Action",
    "ActionCall",
    "Answer",
    "CallError",
    "Deadline",
    "GiveUp",
    "GroupNotifier",
    "MetricSource",
    "Notification",
    "Notifier",
    "Series",
    "TryAgain",
]
