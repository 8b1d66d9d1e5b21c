"""What the built-in notifiers say, what their options may be, and how notifications are grouped."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from resilience_operator.plugins import Deadline, Notification, TryAgain
from resilience_operator.plugins import discovery as d
from resilience_operator.plugins.builtin import alertmanager, apprise, slack, teams, wording
from resilience_operator.plugins.builtin.alertmanager import AlertmanagerOptions
from resilience_operator.plugins.builtin.options import HttpOptions, read
from resilience_operator.plugins.config import NotifierConfig
from resilience_operator.plugins.notifiers import Notifiers
from resilience_operator.resilience import Retry

DECISION = Notification(
    key="a",
    kind="decision",
    at=1_760_000_000.0,
    namespace="shop",
    policy="checkout",
    target_kind="Deployment",
    target="checkout",
    reason="RuleBreached",
    message="cpu is 85% (above 70% for 2m)",
    action="scaleUp",
    result="Done",
    rule="cpu-saturation",
    before="3",
    after="5",
    trace_id="ab" * 16,
)
ALERT = replace(
    DECISION, key="b", kind="notice", reason="Alert", warning=True, action="", result="", before="", after=""
)
OPTIONS = {"url": "http://127.0.0.1", "link": "https://example.org/{namespace}/{policy}"}


def test_a_group_has_a_headline_and_a_line_for_each() -> None:
    elsewhere = replace(ALERT, policy="cart")
    assert wording.headline([DECISION]) == "shop/checkout: RuleBreached"
    assert wording.headline([DECISION, ALERT]) == "shop/checkout: RuleBreached, Alert"
    told = wording.headline([elsewhere, ALERT, DECISION])
    assert told == "3 messages about 2 policies: Alert 2, RuleBreached"
    assert wording.sentence(DECISION) == "scaleUp 3 → 5 (Done): cpu is 85% (above 70% for 2m)"
    assert wording.sentence(replace(ALERT, dry_run=True)) == "[dry run] cpu is 85% (above 70% for 2m)"
    many = [replace(DECISION, key=str(n)) for n in range(30)] + [ALERT]
    assert len(list(wording.shown(many))) == 20
    assert next(wording.shown(many)) is ALERT, "what is left out is not the warning"
    assert wording.rest(many).startswith("and 11 more")
    assert wording.rest(many[:20]) == ""


@pytest.mark.parametrize(
    "text", ["<!channel>", "<https://evil.example|log in>", "@everyone", "[log in](https://evil.example)"]
)
def test_nothing_in_a_policy_mentions_or_links_anybody(text: str) -> None:
    options = read(HttpOptions, "chat", {"url": "http://127.0.0.1"})
    hostile = [replace(DECISION, message=text)]
    assert "<" not in slack.message(hostile, options)["text"]
    card = teams.message(hostile, options)["attachments"][0]["content"]["body"][-1]["text"]
    assert not any(mark in card.replace("\\[", "").replace("\\<", "") for mark in "[<")
    plain = apprise.text(hostile, options)
    assert "@e" not in plain
    assert "<!" not in plain


def test_an_alert_is_known_by_labels_without_numbers() -> None:
    options = read(AlertmanagerOptions, "am", OPTIONS)
    found = alertmanager.alert(DECISION, options)
    again = alertmanager.alert(replace(DECISION, before="5", after="7", message="cpu is 90%", trace_id=""), options)
    assert found["labels"] == again["labels"]
    assert found["generatorURL"] == "https://example.org/shop/checkout"
    assert "dry_run" not in found["labels"]
    assert alertmanager.alert(replace(DECISION, dry_run=True), options)["labels"]["dry_run"] == "true"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "give url or url_file"),
        ({"url": "http://a", "url_file": "/b"}, "give url or url_file"),
        ({"url": "ftp://SECRET"}, "must be an http"),
        ({"url": "http://u:SECRET@a"}, "must not hold credentials"),
        ({"url": "http://a", "token": "SECRET"}, "token: Extra inputs"),
        ({"url": "http://a", "link": "https://a/{policy.__class__}"}, "are filled in"),
        ({"url": "http://a", "link": "javascript:{policy}"}, "must be an http"),
        ({"url": "http://a", "username_file": "/u"}, "belong together"),
    ],
)
def test_options_that_cannot_be_are_refused_without_their_values(options: Mapping[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told) as failure:
        read(HttpOptions, "chat", options)
    assert "SECRET" not in str(failure.value)


class Chat:
    """Takes groups; fails as often as told."""

    made: Chat

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.groups: list[list[str]] = []
        self.failures = 0
        Chat.made = self

    async def notify(self, notification: Notification, deadline: Deadline) -> None:
        raise AssertionError("it takes groups")

    async def notify_group(self, group: Sequence[Notification], deadline: Deadline) -> None:
        if self.failures:
            self.failures -= 1
            raise TryAgain("not now")
        self.groups.append([n.key for n in group])


class Entry:
    value = "chat"

    def load(self) -> type[Chat]:
        return Chat


async def immediately(_: float) -> None:
    """No pause."""


async def test_what_comes_together_is_one_message_and_nothing_is_told_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(d, "installed", lambda _: {"chat": Entry()})
    results: list[tuple[int, str]] = []
    notifiers = Notifiers(
        retry=Retry(sleep=immediately), on_told=lambda _, count, result: results.append((count, result))
    )
    config = NotifierConfig(name="chat", type="chat", group_wait_seconds=0.05, group_interval_seconds=3600)
    await notifiers.load([config])
    results.clear()

    async def groups(count: int) -> None:
        async with asyncio.timeout(10):
            while len(results) < count:
                await asyncio.sleep(0.01)

    async with notifiers.working():
        Chat.made.failures = 2
        for key in "aab":
            notifiers.tell(replace(DECISION, key=key))
        await groups(1)
        assert Chat.made.groups == [["a", "b"]]
        for key in "cad":
            notifiers.tell(replace(DECISION, key=key))
        await asyncio.sleep(0.2)
        assert len(Chat.made.groups) == 1, "the interval is not over"
    # At the end nobody waits for it.
    assert Chat.made.groups == [["a", "b"], ["c", "d"]]
    assert results == [(2, "sent"), (2, "sent")]


async def test_a_group_that_is_given_up_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(d, "installed", lambda _: {"chat": Entry()})
    results: list[tuple[int, str]] = []
    notifiers = Notifiers(
        retry=Retry(sleep=immediately), on_told=lambda _, count, result: results.append((count, result))
    )
    await notifiers.load([NotifierConfig(name="chat", type="chat", group_wait_seconds=0)])
    Chat.made.failures = 100
    async with notifiers.working():
        notifiers.tell(DECISION)
    assert results[-1] == (1, "failed")
    assert Chat.made.groups == []
