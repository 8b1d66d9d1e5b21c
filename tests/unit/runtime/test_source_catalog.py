"""Which configured source a policy means."""

from __future__ import annotations

from typing import Any

import pytest

from resilience_operator.plugins.bulkhead import PluginRunner
from resilience_operator.plugins.config import NamespacedPluginConfig
from resilience_operator.plugins.discovery import UnavailablePlugin
from resilience_operator.plugins.failures import Kind
from resilience_operator.plugins.sources import GuardedSource
from resilience_operator.runtime.cache.source_catalog import SourceCatalog
from resilience_operator.runtime.config import BadConfig, load


def plugin(name: str, type_: str, made: Any = None, namespaces: tuple[str, ...] = ("*",)) -> GuardedSource:
    config = NamespacedPluginConfig(name=name, type=type_, namespaces=namespaces)
    return GuardedSource(config, made or object(), PluginRunner(Kind.SOURCE, name))


BOOK = SourceCatalog(
    ("default", "main"),
    (
        plugin("dd", "datadog"),
        plugin("a", "files"),
        plugin("b", "files"),
        plugin("x", "gone", UnavailablePlugin("not here")),
    ),
    ("datadog", "files", "unused"),
)


@pytest.mark.parametrize(
    ("type_", "name", "source", "reason", "told"),
    [
        ("prometheus", None, "default", "", ""),
        ("prometheus", "main", "main", "", ""),
        ("prometheus", "nowhere", "nowhere", "", ""),
        ("datadog", None, "dd", "", ""),
        ("files", "b", "b", "", ""),
        ("gone", "x", "x", "PluginNotFound", "not here"),
        ("files", None, "files/default", "MetricSourceNotFound", "name one of a, b"),
        ("prometheus", "dd", "prometheus/dd", "MetricSourceNotFound", "dd is of type datadog"),
        ("datadog", "main", "datadog/main", "MetricSourceNotFound", "main is of type prometheus"),
        ("unused", None, "unused/default", "MetricSourceNotFound", "of type unused for namespace shop: configure one"),
        ("unknown", None, "unknown/default", "PluginNotFound", "available: datadog, files, unused"),
    ],
)
def test_the_source_that_is_meant(type_: str, name: str | None, source: str, reason: str, told: str) -> None:
    found, problem = BOOK.find(type_, name, "shop")
    assert found == source
    assert (problem.reason if problem else "") == reason
    assert told in (problem.message if problem else "")


def test_a_plugins_source_may_be_the_default() -> None:
    book = SourceCatalog((), (plugin("default", "datadog"), plugin("other", "datadog")), ("datadog",))
    assert book.find("datadog", None, "shop") == ("default", None)
    found, problem = book.find("prometheus", None, "shop")
    assert found == "prometheus/default"
    assert problem is not None


@pytest.mark.parametrize(
    ("namespace", "name", "source"),
    [
        ("shop", "mine", "mine"),
        ("shop", None, "mine"),
        ("team-a", "theirs", "theirs"),
        ("team-a", None, "theirs"),
        ("team", "theirs", None),
        ("my-shop", "mine", None),
        ("elsewhere", None, None),
        ("elsewhere", "absent", None),
    ],
)
def test_a_source_for_other_namespaces_is_like_one_that_does_not_exist(
    namespace: str, name: str | None, source: str | None
) -> None:
    limited = (
        plugin("mine", "files", namespaces=("shop",)),
        plugin("theirs", "files", namespaces=("team-*", "other")),
    )
    found, problem = SourceCatalog((), limited, ("files",)).find("files", name, namespace)
    if source is not None:
        assert (found, problem) == (source, None)
    else:
        # Nothing in the answer differs from that of an operator without any source.
        assert (found, problem) == SourceCatalog((), (), ("files",)).find("files", name, namespace)
        assert problem is not None
        assert f"of type files for namespace {namespace}: configure one" in problem.message


@pytest.mark.parametrize("wrong", [[], [""], ["Shop"], ["shop", "a b"], ["sh?p"], "shop"])
def test_patterns_of_namespaces_that_match_nothing_are_refused(wrong: Any) -> None:
    for what in (
        {"sources": [{"name": "a", "url": "http://a", "namespaces": wrong}]},
        {"sources": [{"name": "a", "type": "files", "namespaces": wrong}]},
        {"actions": [{"name": "a", "type": "page", "namespaces": wrong}]},
    ):
        with pytest.raises(BadConfig, match="namespaces"):
            load(what)


def test_sources_of_both_kinds_are_configured_side_by_side() -> None:
    plain = {"name": "main", "url": "http://127.0.0.1:9090"}
    config = load({"sources": [plain, {"name": "dd", "type": "datadog", "options": {"site": "eu"}}]})
    assert [s.name for s in config.all_sources] == ["main"]
    assert [(s.name, s.type, s.options) for s in config.plugin_sources] == [("dd", "datadog", {"site": "eu"})]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sources": [{"name": "dd", "type": "datadog", "url": "http://x"}]}, "url"),
        ({"sources": [{"name": "dd", "type": "datadog"}] * 2}, "two sources are named dd"),
        ({"notifiers": [{"name": "n", "type": "t"}] * 2}, "two notifiers are named n"),
        ({"actions": [{"name": "N", "type": "t"}]}, "name"),
    ],
)
def test_what_cannot_be_configured(given: dict[str, Any], told: str) -> None:
    with pytest.raises(BadConfig, match=told):
        load(given)


@pytest.mark.parametrize(
    ("given", "watches"),
    [
        ({}, True),
        ({"namespaces": ("shop",)}, False),
        ({"namespaces": ("shop",), "watch_nodes": True}, True),
        ({"watch_nodes": False}, False),
    ],
)
def test_nodes_are_watched_where_all_namespaces_are(given: dict[str, Any], watches: bool) -> None:
    assert load(given).watches_nodes is watches
