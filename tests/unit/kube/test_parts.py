"""The small pure parts of kube: paths, the store, names and texts of events."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from resilience_operator.kube.cache.store import Store
from resilience_operator.kube.client.errors import from_answer
from resilience_operator.kube.client.events import ObjectRef, cut, event, event_name
from resilience_operator.kube.client.paths import DEPLOYMENTS, PODS, POLICIES
from resilience_operator.resilience import AlreadyExists, CallError, Conflict, GiveUp, NotFound, TryAgain


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (DEPLOYMENTS.collection(), "/apis/apps/v1/deployments"),
        (DEPLOYMENTS.collection("shop"), "/apis/apps/v1/namespaces/shop/deployments"),
        (DEPLOYMENTS.item("shop", "checkout"), "/apis/apps/v1/namespaces/shop/deployments/checkout"),
        (DEPLOYMENTS.item("shop", "a", "scale"), "/apis/apps/v1/namespaces/shop/deployments/a/scale"),
        (PODS.item("shop", "a"), "/api/v1/namespaces/shop/pods/a"),
        (
            POLICIES.item("shop", "a", "status"),
            "/apis/resilience-operator.io/v1alpha1/namespaces/shop/resiliencepolicies/a/status",
        ),
        (PODS.item("shop", "a/../b?c#d"), "/api/v1/namespaces/shop/pods/a%2F..%2Fb%3Fc%23d"),
    ],
)
def test_paths(path: str, wanted: str) -> None:
    assert path == wanted


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_make_it_another_path_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="names no object"):
        PODS.item("shop", name)


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind", "retry_after", "message"),
    [
        (404, {}, b'{"message":"not found","reason":"NotFound"}', NotFound, None, "not found"),
        (409, {}, b'{"message":"m","reason":"Conflict"}', Conflict, None, "m"),
        (409, {}, b'{"message":"m","reason":"AlreadyExists"}', AlreadyExists, None, "m"),
        (429, {"Retry-After": "1"}, b'{"message":"m"}', TryAgain, 1.0, "m"),
        (429, {}, b'{"message":"m","details":{"retryAfterSeconds":3}}', TryAgain, 3.0, "m"),
        (503, {"Retry-After": "2"}, b"<html>upstream</html>", TryAgain, 2.0, "<html>upstream</html>"),
        (502, {}, b"", TryAgain, None, "HTTP 502"),
        (403, {}, b"[]", GiveUp, None, "[]"),
        (500, {}, b"\xff\xfe", TryAgain, None, "\ufffd\ufffd"),
        (422, {}, b'{"message":"' + b"x" * 5000 + b'"}', GiveUp, None, "x" * 300),
    ],
)
def test_answers(
    status: int,
    headers: dict[str, str],
    body: bytes,
    kind: type[CallError],
    retry_after: float | None,
    message: str,
) -> None:
    error = from_answer(status, headers, body)
    assert isinstance(error, kind)
    assert (error.retry_after, error.message, error.dependency) == (retry_after, message, "kubernetes")


def test_the_store_tells_what_changed() -> None:
    store: Store[str] = Store({"initial": lambda record: record[0]})
    key = ("ns", "a")
    assert store.put(key, "x1") == (None, "x1")
    assert store.put(key, "x1") is None
    assert store.put(key, "y2") == ("x1", "y2")
    assert store.put(("ns", "none"), None) is None
    assert store.put(key, None) == ("y2", None)
    assert len(store) == 0


def test_the_store_keeps_its_indexes_in_step() -> None:
    store: Store[str] = Store({"initial": lambda record: record[0]})
    store.put(("ns", "a"), "x1")
    store.put(("ns", "b"), "x2")
    assert store.by_index("initial", "x") == ["x1", "x2"]
    store.put(("ns", "a"), "y1")
    assert (store.by_index("initial", "x"), store.by_index("initial", "y")) == (["x2"], ["y1"])
    store.put(("ns", "a"), None)
    assert store.by_index("initial", "y") == []
    with pytest.raises(KeyError):
        store.by_index("no such index", "x")


def test_a_record_without_a_value_is_not_in_the_index() -> None:
    store: Store[str] = Store({"initial": lambda record: record[0] if record[0] != "-" else None})
    store.put(("ns", "a"), "-1")
    assert store.by_index("initial", None) == []
    store.put(("ns", "a"), "x1")
    assert store.by_index("initial", "x") == ["x1"]
    store.put(("ns", "a"), "-2")
    assert (store.by_index("initial", "x"), store.get("ns", "a")) == ([], "-2")
    assert store.retain(()) == ["-2"]


@pytest.mark.parametrize(
    ("kept", "namespace", "dropped"),
    [
        ([("n", "a"), ("n", "b"), ("m", "a")], None, []),
        ([("n", "a")], None, ["nb", "ma"]),
        ([("n", "a")], "n", ["nb"]),
        ([], "m", ["ma"]),
        ([], "nowhere", []),
    ],
)
def test_a_sweep_drops_what_was_not_met(kept: list[tuple[str, str]], namespace: str | None, dropped: list[str]) -> None:
    store: Store[str] = Store()
    for key in [("n", "a"), ("n", "b"), ("m", "a")]:
        store.put(key, "".join(key))
    assert store.retain(kept, namespace) == dropped
    assert len(store) == 3 - len(dropped)


SUBJECT = ObjectRef("apps/v1", "Deployment", "shop", "checkout", "uid-1")


def test_an_event_s_name_is_its_key_s() -> None:
    name = event_name(SUBJECT, "pause/42")
    assert name == event_name(SUBJECT, "pause/42")
    assert name.startswith("checkout.")
    others = {
        event_name(SUBJECT, "pause/43"),
        event_name(ObjectRef("apps/v1", "Deployment", "shop", "checkout", "uid-2"), "pause/42"),
        event_name(ObjectRef("apps/v1", "StatefulSet", "shop", "checkout", "uid-1"), "pause/42"),
    }
    assert len(others) == 3
    assert name not in others


def test_an_event_s_name_is_never_too_long() -> None:
    long = ObjectRef("v1", "Pod", "shop", "a" * 229 + "-" + "b" * 23)
    assert len(event_name(long, "k")) <= 253
    assert "-." not in event_name(long, "k")


@pytest.mark.parametrize(
    ("text", "most", "wanted"),
    [
        ("short", 10, "short"),
        ("exactly 10", 10, "exactly 10"),
        ("more than 10", 10, "more th…"),
        ("üüüüüü", 10, "üüü…"),
        ("日本語日本語", 10, "日本…"),
        ("\ud800broken", 20, "?broken"),
        ("", 10, ""),
    ],
)
def test_a_message_is_cut_between_characters(text: str, most: int, wanted: str) -> None:
    assert cut(text, most) == wanted
    assert len(cut(text, most).encode()) <= most


def test_an_event_has_what_the_api_asks_for() -> None:
    body = event(
        SUBJECT,
        key="k",
        type="Warning",
        reason="ErrorRateHigh",
        action="PauseRollout",
        message="m" * 2000,
        related=ObjectRef("resilience-operator.io/v1alpha1", "ResiliencePolicy", "shop", "checkout"),
        instance="i" * 200,
        now=datetime(2026, 1, 2, 3, 4, 5, 678, UTC),
    )
    assert body["eventTime"] == "2026-01-02T03:04:05.000678Z"
    assert body["regarding"]["uid"] == "uid-1"
    assert "uid" not in body["related"]
    assert (len(body["reportingInstance"]), len(body["note"].encode())) == (128, 1024)
    assert (body["reportingController"], body["metadata"]["namespace"]) == ("resilience-operator", "shop")
