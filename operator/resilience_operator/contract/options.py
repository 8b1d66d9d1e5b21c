"""Command-line options that select the plugin to test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from resilience_operator.plugins.discovery import installed
from resilience_operator.plugins.failures import Kind


@dataclass(frozen=True, slots=True)
class Subject:
    """The plugin under test, of one kind, with its input. arguments: an action's `with`."""

    kind: Kind
    name: str
    options: Mapping[str, Any]
    arguments: Mapping[str, Any]
    query: str


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --plugin and its related options."""
    group = parser.getgroup("resilience-operator plugin contract")
    group.addoption("--plugin", help="name of the installed plugin (its entry point)")
    group.addoption("--kind", choices=[k.value for k in Kind], help="only as this; default: whatever has that name")
    group.addoption("--options", type=json.loads, default={}, help="the administrator's options, as JSON")
    group.addoption("--arguments", type=json.loads, default={}, help="an action's `with`, as JSON")
    group.addoption("--query", default="up", help="a query that a metric source is asked (default: up)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize each test with the kinds that the plugin provides and the test covers."""
    if "subject" not in metafunc.fixturenames:
        return
    option = metafunc.config.getoption
    name = option("--plugin")
    if not name:
        raise pytest.UsageError("name the plugin to test: --plugin NAME")
    wanted = [Kind(option("--kind"))] if option("--kind") else list(Kind)
    kinds = [kind for kind in wanted if name in installed(kind)]
    if not kinds:
        known = "; ".join(f"{kind}: {', '.join(sorted(installed(kind))) or 'none'}" for kind in wanted)
        raise pytest.UsageError(f"no plugin named {name} is installed. There are: {known}")
    only = [Kind(mark.args[0]) for mark in metafunc.definition.iter_markers("kind")]
    subjects = [
        Subject(kind, name, option("--options"), option("--arguments"), option("--query"))
        for kind in kinds
        if not only or kind in only
    ]
    metafunc.parametrize("subject", subjects, ids=[subject.kind.value for subject in subjects])


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "kind(kind): the test is about plugins of that kind alone")
