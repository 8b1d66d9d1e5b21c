"""Whatever the schema lets in can be decided on: policies made at random, sound ones and broken ones.

`policies()` is the one generator. tests/e2e/test_bad_input.py puts what it makes to the real API server.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resilience_operator.api.v1alpha1 import InvalidPolicy, ResiliencePolicy, parse_policy
from resilience_operator.decision.decide import decide
from resilience_operator.decision.model.commands import Outcome, Result
from resilience_operator.decision.model.compile import compile_policy, signals_of
from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.memory_codec import dump_memory, load_memory
from resilience_operator.decision.model.observation import Observation
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.outcomes import apply_outcomes
from tests.unit.decision.test_properties import REVISIONS, T0, measurements, targets

Document = dict[str, Any]

TEXTS = [
    "", " ", "checkout", "cpu", "-", "a" * 64, "a" * 300, "Ünïcödé", "日本語", "🦀", "\u202eevil", "\x00", "\n", "a\tb",
    "'; DROP TABLE", '"} or vector(1) #', "{{namespace}}", "{{pod}}", "{{ name }}", "{{", "${HOME}", "%s%n", "../..",
    "null", "~", "1e3", "true", "NaN", "-1s", "1m30s", "70%", "800ms", "999999h", "0.0000000000001", "１２",
]  # fmt: skip
"""What people paste, and what attackers try."""

names = st.sampled_from(["a", "b", "queue-length", "x1", "a" * 63])
durations = st.sampled_from(["0s", "500ms", "1s", "5s", "1m30s", "2m", "10m", "1.5h", "168h", "0.001s"])
thresholds = st.sampled_from([0, 1, 0.7, "0.7", "70%", "1s", "800ms", "0", "0%", 1e12, 1e-12, "999999999999%"])
small = st.integers(1, 8)
queries = st.sampled_from(
    [
        "up",
        'sum(rate(http_requests_total{namespace="{{namespace}}", pod=~"{{pods}}"}[{{window}}]))',
        'max(queue{name="{{name}}", größe="日本"})',
        "1",
        "not promql at all }{",
        "up" * 2048,
    ]
)


@st.composite
def signal_documents(draw: st.DrawFn) -> Document:
    """One entry of spec.signals, mostly sound."""
    found: Document = {"name": draw(names)}
    if draw(st.booleans()):
        found["preset"] = draw(st.sampled_from(["cpu", "latency-p99", "error-rate", "zone-lost", "unheard-of"]))
    else:
        found["query"] = draw(queries)
        if draw(st.booleans()):
            found |= {"samplesQuery": draw(queries), "minSamples": draw(st.integers(0, 100))}
    if draw(st.booleans()):
        found["unit"] = draw(st.sampled_from(["ratio", "seconds", "number"]))
    if draw(st.booleans()):
        found["window"] = draw(durations)
    return found


@st.composite
def conditions(draw: st.DrawFn, signals: list[str]) -> Document:
    """A condition on one of these signals."""
    found: Document = {"signal": draw(st.sampled_from(signals))}
    found[draw(st.sampled_from(["above", "above", "below"]))] = draw(thresholds)
    if draw(st.booleans()):
        found["for"] = draw(durations)
    return found


@st.composite
def whens(draw: st.DrawFn, signals: list[str]) -> Document:
    """One condition, or several."""
    how = draw(st.sampled_from(["one", "one", "all", "any"]))
    if how == "one":
        return draw(conditions(signals))
    return {how: draw(st.lists(conditions(signals), min_size=1, max_size=3))}


scale_ups = st.one_of(
    st.fixed_dictionaries({"pods": small}, optional={"cooldown": durations}),
    st.fixed_dictionaries({"percent": st.integers(1, 1000)}, optional={"cooldown": durations}),
    st.just({"toTarget": True}),
)
actions = st.one_of(
    st.fixed_dictionaries({"scaleUp": scale_ups}),
    st.just({"alert": {}}),
    st.just({"pauseRollout": {}}),
    st.fixed_dictionaries(
        {"rollback": st.fixed_dictionaries({}, optional={"after": durations, "limit": st.integers(1, 100)})}
    ),
    st.fixed_dictionaries(
        {
            "plugin": st.fixed_dictionaries(
                {"name": names},
                optional={
                    "with": st.dictionaries(
                        st.sampled_from(TEXTS), st.sampled_from([*TEXTS, 1, None, [1], {"a": [], "b": 1}, {"a": "x"}])
                    )
                },
            )
        }
    ),
)


@st.composite
def sound(draw: st.DrawFn) -> Document:
    """A policy as a careful person may write it, in every combination of fields."""
    signals = draw(st.lists(signal_documents(), max_size=3, unique_by=lambda s: s["name"]))
    known = ["cpu", "latency-p99", "error-rate", "zone-lost", *(s["name"] for s in signals)]
    count = draw(st.integers(1, 4))
    rules = [
        {"name": f"rule-{i}", "when": draw(whens(known)), "then": draw(st.lists(actions, min_size=1, max_size=3))}
        for i in range(count)
    ]
    kind = draw(st.sampled_from(["Deployment", "Deployment", "Deployment", "StatefulSet", "DaemonSet"]))
    low = draw(st.integers(0, 5))
    spec: Document = {
        "targetRef": {"apiVersion": "apps/v1", "kind": kind, "name": draw(st.sampled_from(["checkout", "a.b", "x"]))},
        "replicas": {"min": low, "max": draw(st.integers(max(low, 1), 100_000))},
        "rules": rules,
    }
    if signals:
        spec["signals"] = signals
    extra: dict[str, st.SearchStrategy[Any]] = {
        "mode": st.sampled_from(["Enforce", "DryRun", "Suspended"]),
        "interval": st.sampled_from(["5s", "15s", "10m"]),
        "metricSource": st.fixed_dictionaries(
            {}, optional={"type": names, "name": names, "preset": st.sampled_from(["istio", "none"])}
        ),
        "scaleDown": st.one_of(
            st.fixed_dictionaries({}, optional={"enabled": st.booleans(), "after": durations, "pods": small}),
            st.fixed_dictionaries({"percent": st.integers(1, 100)}, optional={"after": durations}),
        ),
        "release": st.fixed_dictionaries(
            {}, optional={"bake": durations, "failOnProgressDeadline": st.booleans(), "resume": st.booleans()}
        ),
        "fallback": st.one_of(
            st.fixed_dictionaries({}, optional={"after": durations, "hold": st.just({})}),
            st.fixed_dictionaries({"replicas": small}, optional={"after": durations}),
        ),
    }
    for field, values in extra.items():
        if draw(st.booleans()):
            spec[field] = draw(values)
    return {
        "apiVersion": "resilience-operator.io/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": {"name": "bad-input", "namespace": "default"},
        "spec": spec,
    }


GONE = "a field that is not there"
junk = st.one_of(
    st.just(GONE),
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2**31, 2**63 - 1, -(2**63), 1.0, 20.0, 0.5, -0.5, 1e300, 10**30]),
    st.sampled_from(TEXTS),
    st.text(max_size=20),
    st.sampled_from([[], {}, [[]], [None], [{}], {"": ""}, {"a": {"b": {"c": []}}}, {"cpu": 1}]),
)
"""What may stand in place of a field. No NaN and no infinity, which JSON cannot say."""


def admission(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything in a document."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield from admission(below, (*path, key))


@st.composite
def policies(draw: st.DrawFn) -> Document:
    """A policy with up to three things in it changed for something else; often none, which leaves it sound."""
    document = copy.deepcopy(draw(sound()))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2, 3]))):
        found = list(admission(document["spec"]))
        if not found:
            break
        *parents, last = draw(st.sampled_from(found))
        place = document["spec"]
        for key in parents:
            place = place[key]
        value = draw(junk)
        if draw(st.integers(0, 9)) == 0 and isinstance(place, dict):
            last = draw(st.sampled_from(["unheardOf", "above", "below", "all", "any", "query", "max", "pods", "for"]))
        if value is GONE:
            if isinstance(place, list) or last in place:
                del place[last]
        else:
            place[last] = copy.deepcopy(value)
    return document


def parsed(document: Document) -> ResiliencePolicy | None:
    """The policy, or None where it is refused in words of ours."""
    try:
        return parse_policy(document)
    except InvalidPolicy as error:
        told = str(error)
        assert told
        assert "Traceback" not in told
        assert "pydantic" not in told
        return None


@st.composite
def looks(draw: st.DrawFn, signals: list[str]) -> list[tuple[TargetState, dict[str, Observation], float, Result]]:
    """A few evaluations: what is seen of the target, what is measured, how much later, and what became of it."""
    found = []
    for _ in range(draw(st.integers(1, 5))):
        seen: dict[str, Observation] = {}
        for name in draw(st.lists(st.sampled_from(signals), unique=True)) if signals else ():
            if draw(st.integers(0, 3)) == 0:
                seen[name] = Observation.unknown(0.0, "NoData", "nothing")
                continue
            parts = draw(st.dictionaries(st.sampled_from(REVISIONS), measurements(), max_size=2))
            seen[name] = Observation(0.0, draw(measurements()), by_revision=parts, splittable=bool(parts))
        results = st.sampled_from([Result.DONE, Result.FAILED, Result.SUPERSEDED])
        found.append((draw(targets()), seen, draw(st.sampled_from([1.0, 15.0, 400.0, 1e6])), draw(results)))
    return found


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(policies(), st.data())
def test_what_is_accepted_can_be_decided_on(document: Document, data: st.DataObject) -> None:
    found = parsed(document)
    if found is None:
        return
    policy = compile_policy(found.spec, uid="uid", namespace="ns", name="p", generation=1)
    assert {s.name for s in signals_of(found.spec)} >= policy.signals.keys()
    memory, now = Memory(), T0
    for target, seen, later, result in data.draw(looks(sorted(policy.signals))):
        now += later
        fresh = {name: observation._replace(at=now) for name, observation in seen.items()}
        decision = decide(policy, fresh, target, memory, now)
        memory = apply_outcomes(decision.memory, [Outcome(c, result) for c in decision.commands], target, now)
        assert load_memory(json.loads(json.dumps(dump_memory(memory)))) == memory


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(policies())
def test_what_is_accepted_means_the_same_when_it_is_written_again(document: Document) -> None:
    found = parsed(document)
    if found is not None:
        assert parse_policy(found.model_dump(mode="json", exclude_none=True)).spec == found.spec


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=10), below, max_size=3),
    max_leaves=10,
)


@given(json_values)
def test_any_spec_is_accepted_or_refused_in_words(spec: object) -> None:
    """The operator is told of every object that is there, and must be able to tell what is wrong with it."""
    base = {"apiVersion": "resilience-operator.io/v1alpha1", "kind": "ResiliencePolicy", "metadata": {"name": "a"}}
    parsed({**base, "spec": spec})


NESTED = "nested too deeply: an argument is text, a number, true or false, or a list or map of these"


def nested(levels: int) -> Any:
    found: Any = "core"
    for _ in range(levels):
        found = [found]
    return found


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"a": "text", "b": 1, "c": 1.5, "d": True, "e": None, "": "x", "ключ": "🦀"}, ""),
        ({"list": ["a", 1, None], "map": {"b": "c", "d": 2}, "none": [], "empty": {}}, ""),
        ({"a": "x" * 4096, "b": ["🦀" * 4096]}, ""),
        ({str(number): list(range(64)) for number in range(64)}, ""),
        ({"a": nested(2)}, NESTED),
        ({"a": nested(100)}, NESTED),
        ({"a": nested(100_000)}, NESTED),
        ({"a": {"b": {}}}, NESTED),
        ({"a": [{"b": 1}]}, NESTED),
        ({"a": "x" * 4097}, "at most 4096 characters"),
        ({"a": {"b": "x" * 4097}}, "at most 4096 characters"),
        ({"a": [1] * 65}, "at most 64 entries"),
        ({str(number): 1 for number in range(65)}, "at most 64 entries"),
        ({"a": datetime(2026, 1, 1, tzinfo=UTC)}, "put it in quotes"),
        (nested(100_000), "is not a mapping"),
    ],
)
def test_arguments_of_plugins_are_bounded(arguments: Any, problem: str) -> None:
    """In words, whatever a stored policy or a file holds."""
    rule = {
        "name": "a",
        "when": {"signal": "cpu", "above": 1},
        "then": [{"plugin": {"name": "p", "with": arguments}}],
    }
    document = {
        "apiVersion": "resilience-operator.io/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": {"name": "a"},
        "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}, "rules": [rule]},
    }
    try:
        found = parse_policy(document)
    except InvalidPolicy as error:
        assert problem
        assert "spec.rules[0].then[0].plugin.with" in str(error)
        assert problem in str(error)
    else:
        assert not problem
        assert found.spec.rules[0].then[0].plugin is not None
        assert found.spec.rules[0].then[0].plugin.with_ == arguments
