"""Plugins: what other people's packages add, and the walls around it.

Three kinds, each an entry point in another package: metric sources, actions, notifiers (`docs/plugins.md`). A plugin is
foreign code, so every call of one goes through a `Cell`: in threads of the plugin's own, bounded in time and in
number, its exceptions and its nonsense turned into `PluginFailed` and counted. What it does then harms the policies
that use it, and no others.

What a plugin's author needs is here; the rest of the package is the operator's.
"""

from resilience_operator.plugins.protocols import Action, ActionCall, GroupNotifier, Notification, Notifier
from resilience_operator.resilience import CallError, Deadline, GiveUp, TryAgain
from resilience_operator.signals.source import Answer, MetricSource, Series

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
