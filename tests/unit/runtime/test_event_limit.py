"""The events of one policy: notices are limited, and never cost it the event of a change."""

from __future__ import annotations

from resilience_operator.decision.field_managers import display_name
from resilience_operator.kube.client.events import ObjectRef, event
from resilience_operator.runtime.reporting.event_limit import CHANGES, NOTICE_SECONDS, NOTICES, EventLimit


def test_notices_beyond_the_burst_are_suppressed_and_counted() -> None:
    now = 0.0
    limit = EventLimit(lambda: now)
    assert sum(limit.admit(change=False) for _ in range(100)) == NOTICES
    assert limit.suppressed == 100 - NOTICES
    now = NOTICE_SECONDS - 1
    assert not limit.admit(change=False)
    now = NOTICE_SECONDS
    assert limit.admit(change=False)
    assert not limit.admit(change=False)


def test_changes_do_not_wait_for_notices() -> None:
    limit = EventLimit(lambda: 0.0)
    for _ in range(1000):
        limit.admit(change=False)
    assert all(limit.admit(change=True) for _ in range(CHANGES))
    assert not limit.admit(change=True), "they are bounded too"


def test_text_of_an_object_stays_on_one_line() -> None:
    from datetime import UTC, datetime

    subject = ObjectRef("v1", "Pod", "shop", "web")
    told = "it says: a\nWarning  Fake\r\x1b[31m red \u202e"
    body = event(
        subject, key="k", type="Normal", reason="R", action="A", message=told, instance="i", now=datetime.now(UTC)
    )
    assert body["note"].isprintable()


def test_a_managers_name_cannot_pass_for_our_words() -> None:
    assert display_name("https://evil.example/reset") == "`https://evil.example/reset`"
    assert display_name("kubectl https://evil.example") == "kubectl (`kubectl https://evil.example`)"
    assert display_name("a` b `") == "`a' b '`"
    assert display_name("argocd-controller") == "Argo CD (argocd-controller)"
    assert display_name("") == "someone"
