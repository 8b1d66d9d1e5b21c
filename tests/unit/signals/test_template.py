"""Putting values into PromQL, and the data of the families."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_operator.signals.model import Signal, SignalRequest
from resilience_operator.signals.presets.models import QUANTILES, PresetError, load_families, queries, render
from resilience_operator.signals.query import template as promql


def request(query: str, namespace: str = "shop", name: str = "web", **owners: str) -> SignalRequest:
    signal = Signal("own", query=query, window_seconds=90)
    return SignalRequest(namespace, name, "Deployment", {k.replace("_", "-"): v for k, v in owners.items()}, signal)


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", '"a"'), ('a"b', r'"a\"b"'), ("a\\b", r'"a\\b"'), ("a\nb", r'"a\nb"'), ("", '""'), ("`'", '"`\'"')],
)
def test_quoted(value: str, text: str) -> None:
    assert promql.quoted(value) == text


@pytest.mark.filterwarnings("ignore:Possible nested set")  # RE2, which Prometheus uses, has none
@given(st.text(max_size=40))
def test_a_literal_matches_itself_alone(value: str) -> None:
    pattern = re.compile(promql.regex_literal(value), re.DOTALL)
    assert pattern.fullmatch(value)
    assert not pattern.fullmatch(value + "x")


@pytest.mark.parametrize(
    ("seconds", "text"), [(120, "120s"), (0.5, "500ms"), (2.5, "2500ms"), (3600, "3600s"), (1.0004, "1s")]
)
def test_duration(seconds: float, text: str) -> None:
    assert promql.duration(seconds) == text


@pytest.mark.parametrize("seconds", [0, -1, 0.0001])
def test_no_duration(seconds: float) -> None:
    with pytest.raises(promql.TemplateError):
        promql.duration(seconds)


@pytest.mark.parametrize(
    ("values", "suffix", "text"),
    [
        (["a"], "", 'namespace="a"'),
        (["b", "a", "b"], "", 'namespace=~"a|b"'),
        (["a.b", "c"], "", 'namespace=~"a[.]b|c"'),
        (["a"], "-.+", 'namespace=~"(?:a)-.+"'),
        (["a", "b"], "-.+", 'namespace=~"(?:a|b)-.+"'),
        (['a"} or up{x="', "b"], "", r'namespace=~"a\"[}] or up[{]x=\"|b"'),
    ],
)
def test_matchers(values: list[str], suffix: str, text: str) -> None:
    assert promql.matchers("namespace", values, suffix) == text


LONG = "a" * 49 + "-0123456789"


@pytest.mark.parametrize(
    ("owners", "pod", "matches"),
    [
        (["web-5d9f"], "web-5d9f-abcde", True),
        (["web-5d9f"], "web-5d9f-abc-de", False),
        (["web-5d9f"], "web-7c4b-abcde", False),
        (["web-5d9f", "web-7c4b"], "web-7c4b-abcde", True),
        (["my.web-1"], "my.web-1-abcde", True),
        (["my.web-1"], "myxweb-1-abcde", False),
        (["store"], "store-0", True),
        ([], "web-5d9f-abcde", True),
        ([], "website-5d9f-abcde", False),
        ([LONG], LONG[:58] + "abcde", True),
    ],
)
def test_pods(owners: list[str], pod: str, matches: bool) -> None:
    assert bool(re.fullmatch(promql.pod_name_regex(owners, "web"), pod)) is matches


@pytest.mark.parametrize("owner", ["web-5d9f", "store", "my.web-1", LONG, "b" * 57, "b" * 58, "b" * 63])
def test_an_owner_is_found_as_the_queries_label_it(owner: str) -> None:
    pod = (owner + "-")[:58] + "x7k2p"
    labelled = re.fullmatch("(.+)-[^-]+", pod)
    assert promql.owner_label(owner) == (labelled[1] if labelled else "")


class TestCustom:
    def test_all_placeholders(self) -> None:
        query = 'a{namespace="{{namespace}}",x="{{ name }}",pod=~"{{pods}}"}[{{window}}]'
        filled = promql.fill_custom(query, request(query, web_1="1", web_2="2"))
        assert filled == 'a{namespace="shop",x="web",pod=~"(?:web-1-|web-2-)[^-]+"}[90s]'

    def test_nothing_to_fill(self) -> None:
        assert promql.fill_custom("up{a='{b}'}", request("")) == "up{a='{b}'}"

    @pytest.mark.parametrize("query", ["{{pod}}", "a{x='{{Name}}'}", "{{scope}}"])
    def test_an_unknown_placeholder_is_refused(self, query: str) -> None:
        with pytest.raises(promql.TemplateError, match="use one of"):
            promql.fill_custom(query, request(query))

    @pytest.mark.parametrize("bad", ['a"', "a'", "a`", "a\\", "a\n", "{{name}}", "A", "", "a b", "-a", "a|b", "a}"])
    @pytest.mark.parametrize("where", ["namespace", "name", "owner"])
    def test_a_value_that_is_no_name_is_refused(self, bad: str, where: str) -> None:
        asked = SignalRequest(
            bad if where == "namespace" else "shop",
            bad if where == "name" else "web",
            "Deployment",
            {bad: "1"} if where == "owner" else {},
            Signal("own", query="up"),
        )
        with pytest.raises(promql.TemplateError):
            promql.fill_custom("up", asked)

    def test_values_are_not_filled_again(self) -> None:
        assert promql.fill("{{a}}", {"a": "{{b}}", "b": "x"}) == "{{b}}"


FAMILIES = load_families()


class TestFamilies:
    def test_all_are_there(self) -> None:
        assert FAMILIES.names == (
            "envoy",
            "http-generic",
            "istio",
            "linkerd",
            "nginx-ingress",
            "opentelemetry",
            "traefik",
        )

    @pytest.mark.parametrize("family", FAMILIES.names)
    def test_each_has_the_three_signals(self, family: str) -> None:
        latencies = {f"latency-{name}" for name in QUANTILES}
        assert {"cpu", "error-rate", "latency-p99"} <= latencies | {"cpu", "error-rate"} <= {*FAMILIES.signals(family)}
        assert ("cpu-per-request" in FAMILIES.signals(family)) is (
            family in ("envoy", "http-generic", "istio", "linkerd")
        )
        assert FAMILIES.find(family, "cpu") is FAMILIES.find("http-generic", "cpu") or (
            FAMILIES.find(family, "cpu") == FAMILIES.find("http-generic", "cpu")
        )

    @pytest.mark.parametrize("family", FAMILIES.names)
    def test_each_cites_its_sources(self, family: str) -> None:
        found = FAMILIES.family(family)
        assert found and found.sources and all(s.startswith("https://") for s in found.sources)

    @pytest.mark.parametrize("family", FAMILIES.names)
    @pytest.mark.parametrize("signal", ["cpu", "error-rate", "latency-p99", "latency-p50"])
    def test_every_selector_is_scoped_and_every_range_is_the_window(self, family: str, signal: str) -> None:
        found = FAMILIES.find(family, signal)
        assert found
        for part, query in queries(found[1]).items():
            selectors = re.findall(r"[a-z_]+\{(?:[^{}]|\{\{\w+\}\})*\}", query)
            assert selectors and all("{{scope}}" in s or "{{fallback}}" in s for s in selectors)
            # Without the strings, only ranges are in brackets. Counters of pods are raw: their range is a look-back.
            ranges = re.findall(r"\[([^\]]*)\]", re.sub(r'"[^"]*"', "", query))
            assert set(ranges) <= {"5m" if part.startswith("pod_") else "{{window}}"}
            assert "{{" not in render(query, 'namespace="a"', 'namespace="a"', 60)

    def test_nothing_by_service_can_be_split(self) -> None:
        for name in FAMILIES.names:
            family = FAMILIES.family(name)
            assert family
            for preset in family.signals.values():
                assert family.splittable or not any(part.startswith("pod_") for part in queries(preset))

    def test_unknown(self) -> None:
        assert FAMILIES.find("http-generic", "p50") is None
        assert FAMILIES.find("none", "cpu") is None
        assert FAMILIES.find("pods", "cpu") is None

    def test_an_administrators_own_family(self, tmp_path: Path) -> None:
        text = """
name: mine
title: Mine
summary: Own names.
needs: [a counter]
sources: [https://example.org/]
join: {by: owner, namespace: namespace, name: owner}
scope: {label: namespace}
signals:
  error-rate: {kind: ratio, events: 'a{ {{scope}} }', samples: 'b{ {{scope}} }'}
"""
        (tmp_path / "mine.yaml").write_text(text)
        found = load_families(tmp_path)
        assert found.signals("mine") == ("cpu", "cpu-per-request", "error-rate")
        assert found.names == tuple(sorted((*FAMILIES.names, "mine")))

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ("b{ {{scope}} }", "b", "scope"),
            ("b{ {{scope}} }", "b{ {{scope}},{{x}} }", "unknown placeholders: x"),
            ("kind: ratio", "kind: sum", "kind"),
            ("by: owner", "by: pod", "owner"),
            ("name: mine", "name: [", "mine.yaml"),
        ],
    )
    def test_wrong_data_is_refused_at_start(self, tmp_path: Path, old: str, new: str, says: str) -> None:
        self.test_an_administrators_own_family(tmp_path)
        file = tmp_path / "mine.yaml"
        file.write_text(file.read_text().replace(old, new, 1))
        with pytest.raises(PresetError, match=r"mine\.yaml") as caught:
            load_families(tmp_path)
        assert says in str(caught.value)
