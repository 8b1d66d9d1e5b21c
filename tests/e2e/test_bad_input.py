"""Bad input on real servers: the schema and the operator agree, and what one author writes harms no other.

RESILIENCE_BAD_INPUT_CASES says how many generated policies are put to the API server; `docs/security.md` tells how to
run more than the default.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from kubernetes import client
from kubernetes.config import new_client_from_config

from resilience_operator.api.v1alpha1 import GROUP, PLURAL, VERSION, InvalidPolicy, parse_policy
from tests.cluster import Cluster
from tests.e2e.test_scaling import evaluations
from tests.support.operator import Operator, total
from tests.support.prometheus import prometheus, queries_under_way
from tests.support.waiting import eventually, throughout
from tests.support.world import World
from tests.unit.security.test_bad_input import Document, policies

CASES = int(os.environ.get("RESILIENCE_BAD_INPUT_CASES") or 500)

PYTHON_ALONE = ("compares",)
"""What the schema cannot say, and the operator does: a threshold in another unit than its signal's."""


@pytest.fixture(scope="module")
def custom(cluster: Cluster) -> client.CustomObjectsApi:
    return client.CustomObjectsApi(new_client_from_config(str(cluster.kubeconfig)))


def tried(custom: client.CustomObjectsApi, document: Document) -> Document | None:
    """What the API server would store, with its defaults; None where it refuses. Nothing is stored."""
    try:
        found: Document = custom.create_namespaced_custom_object(
            GROUP, VERSION, "default", PLURAL, document, field_validation="Strict", dry_run="All", _request_timeout=30
        )
        return found
    except client.ApiException as error:
        assert error.status in (400, 422), f"{error.status} for {document}: {error.body}"
        assert json.loads(error.body)["message"]
        return None


def problems(document: Document) -> list[str]:
    """What the operator says against it."""
    try:
        parse_policy(document)
    except InvalidPolicy as error:
        return [problem.message for problem in error.problems]
    return []


def test_server_and_operator_agree(custom: client.CustomObjectsApi) -> None:
    counted: Counter[str] = Counter()

    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(policies())
    def agree(document: Document) -> None:
        stored = tried(custom, document)
        counted["cases"] += 1
        if stored is None:
            counted["refused"] += 1
            assert problems(document), f"only the server refuses {json.dumps(document)}"
            return
        counted["accepted"] += 1
        told = [message for message in problems(stored) if not any(known in message for known in PYTHON_ALONE)]
        assert not told, f"only the operator refuses {json.dumps(document)}: {told}"

    agree()
    print(f"policies put to the API server: {dict(counted)}")
    assert counted["accepted"] > CASES / 10
    assert counted["refused"] > CASES / 10


def rule(name: str, signal: str = "cpu") -> dict[str, Any]:
    return {"name": name, "when": {"signal": signal, "above": 1e9}, "then": [{"alert": {}}]}


def ready(world: World, name: str) -> tuple[str, str]:
    found = world.condition("Ready", name)
    return found.get("status", ""), found.get("reason", "")


def test_a_policy_of_a_megabyte_is_kept_and_harms_nobody(world: World, operator: Operator) -> None:
    """Its size is in the arguments of actions, the part with the widest bounds."""
    world.deployment()
    blob = {f"key-{number}": "x" * 4096 for number in range(64)}
    large = {**rule("large"), "then": [{"plugin": {"name": "unheard-of", "with": blob}}] * 4}
    world.policy("large", rules=[large])
    world.until(lambda: ready(world, "large") == ("False", "PluginNotFound"), "it is looked at", "large")
    world.deployment("beside")
    world.policy("beside", targetRef={"name": "beside"}, rules=[rule("small")])
    world.until(lambda: ready(world, "beside") == ("True", "Accepted"), "so is the other", "beside")
    assert len(json.dumps(world.status("large"))) < 10_000, "nothing of it comes back in status"
    assert "xxxxxxxx" not in operator.log.read_text()


def test_more_than_the_server_stores_is_refused(custom: client.CustomObjectsApi) -> None:
    blob = {f"key-{number}": "x" * 4096 for number in range(64)}
    large = {**rule("large"), "then": [{"plugin": {"name": "a", "with": blob}}] * 16}
    with pytest.raises(client.ApiException) as refusal:
        custom.create_namespaced_custom_object(
            GROUP, VERSION, "default", PLURAL, document_of([large]), dry_run="All", _request_timeout=30
        )
    assert refusal.value.status == 413


def document_of(rules: list[dict[str, Any]]) -> Document:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "ResiliencePolicy",
        "metadata": {"name": "bad-input"},
        "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"}, "rules": rules},
    }


def test_five_hundred_rules_are_refused_in_words(custom: client.CustomObjectsApi) -> None:
    document = document_of([rule(f"rule-{number}") for number in range(500)])
    with pytest.raises(client.ApiException) as refusal:
        custom.create_namespaced_custom_object(GROUP, VERSION, "default", PLURAL, document, _request_timeout=30)
    assert "at most 128" in refusal.value.body
    assert any("at most 128" in told for told in problems(document))


def test_unicode_wherever_text_may_stand(world: World, operator: Operator) -> None:
    """In queries, in arguments and in annotations; names are DNS labels, and say so."""
    world.deployment()
    queries = {
        "one": 'sum(up{job="日本 🦀 \\u202e"}) or vector(1)',
        "two": 'größe{pod="x"}',
        "three": '{"größe", "ключ"="значение"} or vector(3)',
    }
    world.policy(
        signals=[{"name": name, "query": query} for name, query in queries.items()],
        rules=[
            *(rule(name, name) for name in queries),
            {**rule("args"), "then": [{"plugin": {"name": "unheard-of", "with": {"ключ": ["🦀", "\u202e", "\x00"]}}}]},
        ],
    )
    world.until_verdict("one", "Ok")
    world.until_verdict("three", "Ok")
    # Not a name without quotes: Prometheus says so.
    world.until(lambda: reason(world, "two") == "BadQuery", "it is told")


def reason(world: World, signal: str, name: str = "checkout") -> str:
    """Why a signal of a policy has no value."""
    return next((s.get("reason", "") for s in world.status(name).get("signals", ()) if s["name"] == signal), "")


BOMB = "max_over_time(max_over_time(max_over_time(vector(1)[1h:150ms])[1h:150ms])[1h:150ms])"
"""Six seconds of CPU, whatever is stored; and within a series Prometheus does not look whether anybody waits."""
READ_SECONDS = 2.0


@pytest.fixture
def source_url(cluster: Cluster, tmp_path: Path) -> Iterator[str]:
    """A Prometheus that other tests do not depend on."""
    with prometheus(cluster, tmp_path) as url:
        yield url


def test_a_query_of_endless_cost_costs_its_own_policy_alone(
    world: World, new_operator: Callable[..., Operator], tmp_path: Path, source_url: str
) -> None:
    """Three policies that ask Prometheus for more than it can answer in time, and two that ask for little."""
    source = {"name": "bounded", "url": source_url, "read_timeout_seconds": READ_SECONDS}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"sources": [source]}))
    operator = new_operator("--config", str(config)).start()
    modest, bombs = ("modest-0", "modest-1"), ("bomb-0", "bomb-1", "bomb-2")
    for name in (*modest, *bombs):
        world.deployment(name)
        # Each has a text of its own, else one answer would serve them all.
        query = (
            f"{BOMB} + {name[-1]}" if name in bombs else 'count(kube_pod_info{namespace="{{namespace}}"}) or vector(1)'
        )
        world.policy(
            name,
            targetRef={"name": name},
            metricSource={"name": "bounded"},
            signals=[{"name": "own", "query": query}],
            rules=[rule("own", "own"), rule("cpu")],
        )
    for name in bombs:
        world.until(lambda n=name: reason(world, "own", n) == "SourceTimedOut", "the bomb is told", name)
        found = world.condition("MetricsAvailable", name)
        assert (found["status"], found["reason"]) == ("False", "SourceTimedOut")
        told = ("took too long", "in time", "the deadline passed")
        assert any(words in found["message"] for words in told), found["message"]
    for name in bombs:
        world.until(
            lambda n=name: (
                "times in a row; next attempt in" in world.condition("MetricsAvailable", n).get("message", "")
            ),
            "the bomb backs off",
            name,
            patience=180.0,
        )
    eventually(lambda: queries_under_way(source_url) == 0, "what nobody waits for is through", patience=600.0)
    for name in modest:
        world.until_verdict("own", "Ok", name)
    late = lateness(operator)
    wanted = evaluations(operator) + 30
    throughout(
        lambda: all(world.verdict("own", name) == "Ok" == world.verdict("cpu", name) for name in modest),
        "the others are measured",
        until=lambda: evaluations(operator) >= wanted,
        last=lambda: [world.status(name).get("signals") for name in modest],
    )
    assert lateness(operator) == late, "an evaluation began more than a second late"
    # A changed query is a different query: it is sent without waiting for the back-off of the former one.
    world.change_policy(bombs[0], signals=[{"name": "own", "query": "vector(1)"}])
    world.until_verdict("own", "Ok", bombs[0])


def lateness(operator: Operator) -> float:
    """How many evaluations began more than a second late."""
    page = operator.get("/metrics")[1]
    name = "resilience_evaluation_lag_seconds"
    return total(page, f"{name}_count") - total(page, f"{name}_bucket", le="1.0")
