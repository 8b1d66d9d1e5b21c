"""A policy's own query stays within its namespace, whatever is written in it."""

from __future__ import annotations

import re

import promql_parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from resilience_operator.promql import syntax
from resilience_operator.promql.errors import TemplateError
from resilience_operator.promql.tenancy import enforce
from resilience_operator.resilience.deadline import Deadline
from resilience_operator.runtime.config import BadConfig, load, show
from resilience_operator.signals.collector import SignalCollector
from resilience_operator.signals.model import Signal, SignalRequest
from resilience_operator.signals.prometheus.config import SourceConfig, TenancyConfig
from resilience_operator.signals.prometheus.source import PrometheusSource
from resilience_operator.signals.sources.protocol import Answer, Series
from resilience_operator.signals.sources.registry import SourceRegistry
from tests.support.observed import observed

N = 'namespace="a"'

ENFORCED = {
    # query: what is sent
    "up": f'{{__name__="up",{N}}}',
    "up{}": f'{{__name__="up",{N}}}',
    '{"up"}': f'{{__name__="up",{N}}}',
    '{__name__=~".+"}': f'{{__name__=~".+",{N}}}',
    '{__name__="up", job="x"}': f'{{__name__="up",job="x",{N}}}',
    # Matchers that contradict the tenant's narrow it to nothing.
    'up{namespace="b"}': f'{{__name__="up",namespace="b",{N}}}',
    'up{namespace=~".*"}': f'{{__name__="up",namespace=~".*",{N}}}',
    'up{namespace!="a"}': f'{{__name__="up",namespace!="a",{N}}}',
    'up{namespace=""}': f'{{__name__="up",namespace="",{N}}}',
    'up{"namespace"="b"}': f'{{__name__="up",namespace="b",{N}}}',
    r'up{namespace="\u0062"}': f'{{__name__="up",namespace="b",{N}}}',
    # Strings and comments that look like syntax.
    'up{x="}"} # {namespace="b"}': f'{{__name__="up",x="}}",{N}}}',
    "up{x='} or up{'}": f'{{__name__="up",x="}} or up{{",{N}}}',
    "up{x=`\"`}": f'{{__name__="up",x="\\"",{N}}}',
    'up{x="# no comment"}': f'{{__name__="up",x="# no comment",{N}}}',
    'up # "\n + down # "': f'{{__name__="up",{N}}} + {{__name__="down",{N}}}',
    r'up{x="\\"}': rf'{{__name__="up",x="\\",{N}}}',
    'up{größe="1"}'.replace("größe", '"größe"'): f'{{__name__="up","größe"="1",{N}}}',
    # Times.
    "up offset 5m": f'{{__name__="up",{N}}} offset 300000ms',
    "up offset -1h": f'{{__name__="up",{N}}} offset -3600000ms',
    "up @ 1600000000": f'{{__name__="up",{N}}} @ 1600000000.000',
    "rate(up[5m] @ end() offset 1m)": f'rate({{__name__="up",{N}}}[300000ms] @ end() offset 60000ms)',
    "max_over_time(rate(up[5m])[1h:1m] offset 1d)": (
        f'max_over_time(rate({{__name__="up",{N}}}[300000ms])[3600000ms:60000ms] offset 86400000ms)'
    ),
    "sum_over_time(up[5m:])": f'sum_over_time({{__name__="up",{N}}}[300000ms:])',
    # Several selectors.
    "up + down": f'{{__name__="up",{N}}} + {{__name__="down",{N}}}',
    "up or vector(1)": f'{{__name__="up",{N}}} or vector(1.0)',
    "up unless on (pod) down": f'{{__name__="up",{N}}} unless on (pod) {{__name__="down",{N}}}',
    "up / ignoring (x) group_left (y) down": (
        f'{{__name__="up",{N}}} / ignoring (x) group_left (y) {{__name__="down",{N}}}'
    ),
    "up >= bool 2": f'{{__name__="up",{N}}} >= bool 2.0',
    "-(up ^ 2)": f'-({{__name__="up",{N}}} ^ 2.0)',
    "topk(scalar(k), sum by (x) (up))": f'topk (scalar({{__name__="k",{N}}}), sum by (x) ({{__name__="up",{N}}}))',
    "quantile_over_time(scalar(q), up[1m])":
        f'quantile_over_time(scalar({{__name__="q",{N}}}), {{__name__="up",{N}}}[60000ms])',
    'absent(up{namespace="b"})': f'absent({{__name__="up",namespace="b",{N}}})',
    # The label may be written into the answer, which is of the tenant's own series all the same.
    'label_replace(up, "namespace", "b", "", "")': f'label_replace({{__name__="up",{N}}}, "namespace", "b", "", "")',
    'count_values("namespace", up)': f'count_values ("namespace", {{__name__="up",{N}}})',
    "sum without (namespace) (up)": f'sum without (namespace) ({{__name__="up",{N}}})',
    # No selector, no series.
    "vector(1)": "vector(1.0)",
    "time() * 1e-7": "time() * 1e-07",
    "NaN": "NaN",
    "-Inf": "-Inf",
    "'it''s'".replace("''", ""): '"its"',
}  # fmt: skip


@pytest.mark.parametrize(("query", "sent"), ENFORCED.items(), ids=ENFORCED.keys())
def test_enforced(query: str, sent: str) -> None:
    assert enforce(query, "namespace", "a") == sent


REFUSED = {
    "": "cannot be read",
    "up{": "cannot be read",
    "up}": "cannot be read",
    "up{namespace=}": "cannot be read",
    'up{x="}': "cannot be read",
    "up; down": "cannot be read",
    "no_such_function(up)": "cannot be read",
    "WITH (x = up) x": "cannot be read",
    "sum(up": "cannot be read",
    "up[5m] + ": "cannot be read",
    'up{namespace="a" or namespace="b"}': "`or` between matchers",
    'up{a="1",b="2" or namespace="b"}': "`or` between matchers",
    "info(up)": r"info\(\) cannot be restricted",
    'sum(info(rate(up[5m]), {x="y"}))': r"info\(\) cannot be restricted",
    "up + fill(0) down": "fill",
    "(" * 2000 + "up" + ")" * 2000: "150 levels of nested brackets",
    "-" * 4000 + "up": "at most 300",
    " or ".join(["up"] * 500): "at most 300",
    "up{" + 'a="b",' * 400 + "}": "at most 300",
    'up # "\n' + "+ up # '\n" * 400: "at most 300",
    "up #\r" + "+ up " * 400: "at most 300",
    'up{x="' + '\\"' * 2000: "not closed",
    "up{x=`\\d`}": "back quotes",
}


@pytest.mark.parametrize(("query", "told"), REFUSED.items(), ids=[q[:40] for q in REFUSED])
def test_refused(query: str, told: str) -> None:
    for _ in range(2):  # the second time it is remembered
        with pytest.raises(TemplateError, match=told):
            enforce(query, "namespace", "a")


@pytest.mark.parametrize("query", ["-" * 299 + "up", "abs(" * 149 + "up" + ")" * 149, "+".join(["up"] * 150)])
def test_the_largest_are_read(query: str) -> None:
    assert enforce(query, "namespace", "a").count(N) == query.count("up")


@pytest.mark.parametrize("value", ['b"} or up{x="', "a\\", "ü", "`", "\n"])
def test_a_value_is_never_syntax(value: str) -> None:
    """Namespaces are names; the function does not depend on it."""
    tree = promql_parser.parse(enforce("up", "namespace", value))
    (selector,) = syntax.selectors(tree)
    assert [(m.name, m.value) for m in selector.matchers.matchers][-1] == ("namespace", value)


def test_a_label_with_dots() -> None:
    assert enforce("up", "k8s.namespace.name", "a") == '{__name__="up","k8s.namespace.name"="a"}'


# A grammar of PromQL that makes queries as people, and attackers, may write them.

strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(
    lambda s: '"' + s.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r") + '"'
)
words = st.sampled_from(["up", "http_requests_total", "a:b", "sum", "namespace", "by", "offset"])
labels = st.sampled_from(["namespace", "pod", "job", "__name__", '"namespace"', '"x.y"'])
matchers = st.builds(
    lambda label, sign, value: f"{label}{sign}{value}",
    labels,
    st.sampled_from(["=", "!=", "=~", "!~"]),
    st.sampled_from(['"b"', '"a"', '".*"', '".+"', '""', "'b'", "`b`"]) | strings,
)
spans = st.sampled_from(["1s", "5m", "1h30m", "1d", "90"])
times = st.sampled_from(["", "", " offset 5m", " offset -1h", " @ 1600000000.5", " @ start()", " @ end() offset 1s"])
gaps = st.sampled_from([" ", "\n", "\t", ' # } {namespace="b"}\n', ' # "\n', " # '\n", " # `\n"])
selector_texts = st.builds(
    lambda word, found, when: f"{word}{{{','.join(found)}}}{when}",
    words | st.just(""),
    st.lists(matchers, max_size=3),
    times,
)


def deeper(below: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds(lambda e: f"({e})", below),
        st.builds(lambda e: f"-{e}", below),
        st.builds(
            lambda left, a, op, b, right: f"{left}{a}{op}{b}{right}",
            below,
            gaps,
            st.sampled_from(
                [
                    "+",
                    "-",
                    "*",
                    "/",
                    "%",
                    "^",
                    "atan2",
                    "and",
                    "or",
                    "unless",
                    "== bool",
                    "> on (pod)",
                    "/ on (x) group_left (y)",
                ]
            ),
            gaps,
            below,
        ),
        st.builds(
            lambda op, grouping, e: f"{op}{grouping}({e})",
            st.sampled_from(["sum", "avg", "count", "max"]),
            st.sampled_from(["", " by (pod) ", " without (namespace) ", ' by ("x.y") ']),
            below,
        ),
        st.builds(lambda f, e: f"{f}({e})", st.sampled_from(["abs", "absent", "ceil", "timestamp"]), below),
        st.builds(lambda s, e: f"label_replace({e}, 'namespace', {s}, 'pod', '(.*)')", strings, below),
        st.builds(lambda s, e: f"count_values({s}, {e})", strings, below),
        st.builds(lambda e, r, s, w: f"max_over_time(({e})[{r}:{s}]{w})", below, spans, spans | st.just(""), times),
        st.builds(lambda e: f"topk(scalar({e}), {e})", below),
        st.builds(lambda w, m, r, t: f"rate({w}{{{m}}}[{r}]{t})", words, matchers, spans, times),
    )


expressions = st.recursive(
    selector_texts | st.sampled_from(["1", "1e3", "Inf", "vector(1)", "time()"]) | strings, deeper, max_leaves=8
)


def matched(query: str) -> list[list[tuple[str, str]]]:
    """The equalities of each selector of a query."""
    return [
        [(m.name, m.value) for m in selector.matchers.matchers if m.op == promql_parser.MatchOp.Equal]
        for selector in syntax.selectors(promql_parser.parse(query))
    ]


@settings(max_examples=1500, deadline=None)
@given(expressions)
def test_no_selector_escapes(query: str) -> None:
    try:
        before = matched(query)
    except ValueError:
        with pytest.raises(TemplateError):
            enforce(query, "namespace", "tenant")
        return
    try:
        sent = enforce(query, "namespace", "tenant")
    except TemplateError as error:
        assert "cannot be read" not in str(error)  # too long, or not understood: refused all the same
        return
    after = matched(sent)
    assert all(("namespace", "tenant") in found for found in after)
    # Nothing that was asked is lost, so that the answer can only be narrower.
    assert [len(found) for found in after] == [
        len(found) + 1 + bool(name) for found, name in zip(before, names_of(query), strict=True)
    ]


def names_of(query: str) -> list[str | None]:
    """The metric's name outside the braces, of each selector."""
    return [selector.name for selector in syntax.selectors(promql_parser.parse(query))]


@settings(max_examples=1500, deadline=None)
@given(st.text(st.sampled_from("up{}[]()\"'`#\\=~!,:@+-*/ \nnamespace5mor"), max_size=40))
def test_noise_is_refused_or_held(query: str) -> None:
    try:
        sent = enforce(query, "namespace", "tenant")
    except TemplateError:
        return
    assert all(("namespace", "tenant") in found for found in matched(sent))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_refused_or_held(query: str) -> None:
    try:
        sent = enforce(query, "namespace", "tenant")
    except TemplateError:
        return
    assert all(("namespace", "tenant") in found for found in matched(sent))


class Recorded:
    """A source that remembers what it was asked."""

    name = "default"

    def __init__(self, tenant_label: str = "namespace") -> None:
        self.tenant_label = tenant_label
        self.asked: list[str] = []
        self.matchers: dict[str, str] = {}

    async def query(self, promql: str, *, at: float | None = None, deadline: Deadline) -> Answer:
        self.asked.append(promql)
        return Answer((Series({}, 1.0, 1000.0),))

    async def close(self) -> None:
        pass


async def collect(source: Recorded, signal: Signal, family: str = "http-generic") -> str:
    """The reason why there is no value; empty where there is one."""
    request = SignalRequest("shop", "web", "Deployment", {"web-1": "1"}, signal, family=family)
    [found] = await observed(
        SignalCollector(SourceRegistry({"default": source})), [request], now=1000.0, deadline=Deadline.after(5)
    )
    return found.reason if not found.measured else ""


class TestCollecting:
    async def test_both_queries_of_a_signal_are_held(self) -> None:
        source = Recorded()
        signal = Signal("own", query='bad{pod=~"{{pods}}"}', samples_query="all_of_them", min_samples=1)
        assert await collect(source, signal) == ""
        assert sorted(source.asked) == [
            '{__name__="all_of_them",namespace="shop"}',
            '{__name__="bad",pod=~"web-1-[^-]+",namespace="shop"}',
        ]

    @pytest.mark.parametrize(("query", "samples"), [("up{", ""), ("up", "up{"), ("info(up)", "")])
    async def test_what_cannot_be_held_is_never_sent(self, query: str, samples: str) -> None:
        source = Recorded()
        assert await collect(source, Signal("own", query=query, samples_query=samples)) == "BadQuery"
        assert source.asked == []

    async def test_without_tenancy_the_text_is_the_author_s(self) -> None:
        source = Recorded(tenant_label="")
        await collect(source, Signal("own", query="info(up) # mine"))
        assert source.asked == ["info(up) # mine"]

    async def test_presets_are_asked_as_they_are(self) -> None:
        source = Recorded()
        await collect(source, Signal("cpu", preset="cpu"))
        assert source.asked
        assert all('namespace="shop"' in query for query in source.asked)

    async def test_a_source_of_one_cluster_reads_nothing_else(self) -> None:
        """Neither by a preset nor by a custom query, whether namespaces are isolated or not."""
        for label in ("namespace", ""):
            source = Recorded(tenant_label=label)
            source.matchers = {"cluster": "eu"}
            await collect(source, Signal("own", query='bad or bad{cluster="us"}'))
            await collect(source, Signal("cpu", preset="cpu"))
            selectors = re.findall(r"[a-z_]*\{[^{}]*\}", "".join(source.asked))
            assert len(selectors) > 5
            assert all('cluster="eu"' in selector for selector in selectors)

    async def test_a_family_that_joins_names_is_refused(self) -> None:
        """`b-c` in namespace `a` and `c` in namespace `a-b` are one to it."""
        source = Recorded()
        assert await collect(source, Signal("error-rate", preset="error-rate"), family="traefik") == "BadQuery"
        assert source.asked == []


class TestConfiguration:
    async def test_is_handed_to_the_source(self) -> None:
        config = SourceConfig.model_validate(
            {"name": "a", "url": "http://a", "tenancy": {"label": "exported_namespace"}}
        )
        source = PrometheusSource(config)
        assert source.tenant_label == "exported_namespace"
        await source.close()

    async def test_is_on_unless_it_is_turned_off(self) -> None:
        for setting, label in (({}, "namespace"), ({"tenancy": {}}, "namespace"), ({"tenancy": "none"}, "")):
            config = SourceConfig.model_validate({"name": "a", "url": "http://a", **setting})
            source = PrometheusSource(config)
            assert source.tenant_label == config.tenant_label == label
            await source.close()

    @pytest.mark.parametrize("value", [None, "", "off", "None", "namespace", False, []])
    def test_is_not_turned_off_by_accident(self, value: object) -> None:
        with pytest.raises(ValidationError) as refused:
            SourceConfig.model_validate({"name": "a", "url": "http://a", "tenancy": value})
        if value is None or isinstance(value, str):
            assert "must be {label: NAME}, with the label that holds the namespace, or none" in str(refused.value)

    def test_of_the_source_that_is_given_by_its_address(self) -> None:
        url = {"prometheus_url": "http://a"}
        assert [s.tenant_label for s in load(url).all_sources] == ["namespace"]
        for value, label in (("none", ""), ("exported_namespace", "exported_namespace")):
            assert [s.tenant_label for s in load({**url, "prometheus_tenancy": value}).all_sources] == [label]
        for wrong in ("", "__name__", "a b"):
            with pytest.raises(BadConfig):
                load({**url, "prometheus_tenancy": wrong})

    def test_stands_in_the_configuration_in_force(self) -> None:
        """Whoever looks at it sees the default too."""
        held, free = show(
            load({"sources": [{"name": "a", "url": "http://a"}, {"name": "b", "url": "http://b", "tenancy": "none"}]})
        )["sources"]
        assert (held["tenancy"], free["tenancy"]) == ({"label": "namespace"}, "none")

    @pytest.mark.parametrize("label", ["", "1a", "a b", 'a"', "__name__", "a}"])
    def test_no_label(self, label: str) -> None:
        with pytest.raises(ValidationError):
            TenancyConfig(label=label)


NAMES = st.from_regex(re.compile(r"[a-z0-9]([-a-z0-9.]{0,60}[a-z0-9])?"), fullmatch=True)
TEMPLATES = [
    'up{namespace="{{namespace}}",x="{{name}}",pod=~"{{pods}}"}',
    "sum(rate(up{namespace='{{namespace}}',x='{{ name }}',pod=~'{{pods}}'}[{{window}}]))",
    "up{namespace=`{{namespace}}`,x=`{{name}}`,pod=~`{{pods}}`} offset {{window}}",
    'label_replace(up, "{{name}}", "x", "y", "{{pods}}")',
]


@pytest.mark.parametrize("template", TEMPLATES)
@settings(max_examples=200, deadline=None)
@given(NAMES, NAMES, st.lists(NAMES, max_size=3), st.floats(min_value=0.001, max_value=604800))
def test_names_that_kubernetes_allows_stay_values(
    template: str, namespace: str, name: str, owners: list[str], window: float
) -> None:
    """In every kind of quotes: the rendered query parses, and its selectors are the template's."""
    from resilience_operator.signals.query.template import fill_custom

    request = SignalRequest(
        namespace, name, "Deployment", dict.fromkeys(owners, "1"), Signal("own", window_seconds=window)
    )
    rendered = fill_custom(template, request)
    (selector,) = syntax.selectors(promql_parser.parse(rendered))
    found = {m.name: m.value for m in selector.matchers.matchers}
    if "namespace" in found:
        assert found["namespace"] == namespace
        assert found["x"] == name
        pods = re.compile(found["pod"])
        for owner in owners:
            assert pods.fullmatch(f"{owner}-"[:58] + "x7k2p")
    assert len(selector.matchers.matchers) == template.count("=~") + template.count("namespace=") + template.count("x=")
