"""What the built-in notifiers say, what their options may be, and how notifications are grouped."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from resilience_operator.plugins import Deadline, GiveUp, Notification, TryAgain
from resilience_operator.plugins import discovery as d
from resilience_operator.plugins.builtin import alertmanager, apprise, grafana, slack, teams, webhook
from resilience_operator.plugins.builtin import formatting as wording
from resilience_operator.plugins.builtin.alertmanager import AlertmanagerOptions
from resilience_operator.plugins.builtin.grafana import GrafanaOptions
from resilience_operator.plugins.builtin.options import HttpOptions, parse_options
from resilience_operator.plugins.config import NotifierConfig
from resilience_operator.plugins.notifiers import Notifiers
from resilience_operator.plugins.queues import NAMESPACE_LENGTH
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
    simulated = replace(DECISION, result="Rehearsed", dry_run=True)
    assert wording.sentence(simulated) == "[dry run] scaleUp 3 → 5: cpu is 85% (above 70% for 2m)"
    many = [replace(DECISION, key=str(n)) for n in range(30)] + [ALERT]
    assert len(wording.shown(many)) == 20
    assert wording.shown(many)[0] is ALERT, "what is left out is not the warning"
    assert wording.rest(many).startswith("and 11 more")
    assert wording.rest(many[:20]) == ""


HOSTILE = [
    "<!channel>",
    "<https://evil.example|log in>",
    "@everyone",
    "＠everyone",
    "#general",
    "[log in](https://evil.example)",
    "https://login.evil.example/reset paused the rollout",
    "HTTPS://evil.example",
    "log in at login.evil.example/reset",
    "www.evil.example",
    "evil。example",
    "mailto:ceo@evil.example",
    "tel:+123",
    "a\nb https://evil.example",
    "a\r\x1b]8;;https://evil.example\x1b\\here",
    "\u202egnp.elpmaxe.live\u202c",
]
LINK = re.compile(r"\w+:[^\s\u200b]|\w\.[^\W\d_]|[@＠#]\w|//|[<][!@#a-z]", re.IGNORECASE)
"""What some chat makes a link or a mention of."""


def told_everywhere(hostile: Notification) -> dict[str, list[str]]:
    """What people read of a notification in each chat."""
    options = parse_options(HttpOptions, "chat", {"url": "http://127.0.0.1"})
    posted = slack.message([hostile], options)
    card = teams.message([hostile], options)["attachments"][0]["content"]["body"]
    alert = alertmanager.alert(hostile, parse_options(AlertmanagerOptions, "am", {"url": "http://127.0.0.1"}))
    return {
        "slack": [posted["text"].replace("\n", " "), *(block["text"]["text"] for block in posted["blocks"])],
        "teams": [block["text"].replace("\\", "") for block in card],
        "apprise": [wording.headline([hostile]), apprise.text([hostile], options)],
        "alertmanager": list(alert["annotations"].values()),
        "grafana": [
            grafana.annotation(hostile, parse_options(GrafanaOptions, "g", {"url": "http://127.0.0.1"}))["text"]
        ],
        "webhook": [webhook.message([hostile], options)["notifications"][0]["message"]],
    }


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_policy_mentions_or_links_anybody(text: str) -> None:
    for where, shown in told_everywhere(replace(DECISION, message=text)).items():
        for one in shown:
            assert one.isprintable() or one.replace("\u200b", "").isprintable(), where
            assert not LINK.search(one.replace("(Done): ", "").replace(":warning:", "")), (where, one)


def test_a_name_that_looks_like_a_domain_is_no_link() -> None:
    for where, shown in told_everywhere(replace(DECISION, policy="login.evil.example", message="x")).items():
        assert not any("evil.example" in one for one in shown), where


def test_slack_looks_for_no_links_of_its_own() -> None:
    posted = slack.message([DECISION], parse_options(HttpOptions, "chat", {"url": "http://127.0.0.1"}))
    assert posted["blocks"]
    assert all(block["text"]["verbatim"] is True for block in posted["blocks"])


def test_no_block_is_longer_than_slack_takes() -> None:
    options = parse_options(
        HttpOptions, "chat", {"url": "http://127.0.0.1", "link": "https://a/{policy}/" + "x" * 1500}
    )
    long = replace(DECISION, policy="p" * 253, message="&" * 5000)
    assert all(len(block["text"]["text"]) <= slack.MOST_BLOCK for block in slack.message([long], options)["blocks"])


@pytest.mark.parametrize("text", ["cpu is 85% (above 70% for 2m): 3 → 5 pods", "latency-p99 is 1.4s", "12:30, 1/2"])
def test_what_is_no_link_is_told_as_it_is(text: str) -> None:
    assert wording.unlinked(text) == text


def test_each_namespace_has_a_line_before_any_has_two() -> None:
    flood = [replace(ALERT, key=str(n), namespace="tenant-a") for n in range(1100)]
    rolled_back = replace(DECISION, key="v", namespace="tenant-b", action="rollback", message="rolled back")
    group = [*flood[:600], rolled_back, *flood[600:]]
    assert rolled_back in wording.shown(group)[:2]
    many = [replace(ALERT, key=str(n), namespace=f"t-{n}") for n in range(60)] + [rolled_back]
    assert len({n.namespace for n in wording.shown(many)}) == wording.MOST_LINES
    assert wording.rest(many).startswith("and 41 more, including all from 41 namespaces")


def test_a_flood_of_a_namespaces_own_notices_does_not_hide_its_decisions() -> None:
    flood = [replace(ALERT, key=str(n)) for n in range(100)]
    assert DECISION in wording.shown([*flood, DECISION])[:2]


def test_an_alert_is_known_by_labels_without_numbers() -> None:
    options = parse_options(AlertmanagerOptions, "am", OPTIONS)
    found = alertmanager.alert(DECISION, options)
    again = alertmanager.alert(replace(DECISION, before="5", after="7", message="cpu is 90%", trace_id=""), options)
    assert found["labels"] == again["labels"]
    assert found["generatorURL"] == "https://example.org/shop/checkout"
    assert "dry_run" not in found["labels"]
    assert alertmanager.alert(replace(DECISION, dry_run=True), options)["labels"]["dry_run"] == "true"


def test_a_mark_has_tags_by_which_a_dashboard_selects_it() -> None:
    options = parse_options(GrafanaOptions, "g", {**OPTIONS, "dashboard_uid": "d", "tags": ["prod"]})
    found = grafana.annotation(DECISION, options)
    assert found["time"] == 1_760_000_000_000
    assert found["dashboardUID"] == "d"
    assert found["tags"] == [
        "prod", "namespace:shop", "policy:checkout", "target:Deployment/checkout", "action:scaleUp", "result:Done",
        "reason:RuleBreached",
    ]  # fmt: skip
    assert "dry-run" in grafana.annotation(replace(DECISION, dry_run=True), options)["tags"]
    assert "dashboardUID" not in grafana.annotation(DECISION, parse_options(GrafanaOptions, "g", OPTIONS))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "set exactly one of url and url_file"),
        ({"url": "http://a", "url_file": "/b"}, "set exactly one of url and url_file"),
        ({"url": "ftp://SECRET"}, "must be an http"),
        ({"url": "http://u:SECRET@a"}, "must not contain credentials"),
        ({"url": "http://a", "token": "SECRET"}, "token: Extra inputs"),
        ({"url": "http://a", "link": "https://a/{policy.__class__}"}, "only the placeholders {namespace}, {policy}"),
        ({"url": "http://a", "link": "javascript:{policy}"}, "must be an http"),
        ({"url": "http://a", "username_file": "/u"}, "set username_file and password_file together"),
        ({"url": "http://a", "bearer_token_file": "/SECRET"}, "allow_insecure: true"),
        ({"url": "http://a", "username_file": "/u", "password_file": "/p"}, "allow_insecure: true"),
        ({"url": "http://a", "header_files": {"authorization": "/SECRET"}}, "allow_insecure: true"),
    ],
)
def test_options_that_cannot_be_are_refused_without_their_values(options: Mapping[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told) as failure:
        parse_options(HttpOptions, "chat", options)
    assert "SECRET" not in str(failure.value)


@pytest.mark.parametrize(
    "options",
    [
        {"url": "https://a", "bearer_token_file": "/t"},
        {"url": "http://127.0.0.1:9000", "bearer_token_file": "/t"},
        {"url": "http://a", "bearer_token_file": "/t", "allow_insecure": True},
        {"url": "http://a", "header_files": {"X-Scope-OrgID": "/t"}},
    ],
)
def test_credentials_may_go_where_nobody_reads_them_or_it_is_accepted(options: Mapping[str, Any]) -> None:
    assert parse_options(HttpOptions, "chat", options).url


class Chat:
    """Takes groups; fails as often as told."""

    made: Chat

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.groups: list[list[str]] = []
        self.failures = 0
        self.refuses = ""
        Chat.made = self

    async def notify(self, notification: Notification, deadline: Deadline) -> None:
        raise AssertionError("it takes groups")

    async def notify_group(self, group: Sequence[Notification], deadline: Deadline) -> None:
        if self.failures:
            self.failures -= 1
            raise TryAgain("not now")
        if self.refuses in [n.namespace for n in group]:
            raise GiveUp("HTTP 400", status=400)
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
        retry=Retry(sleep=immediately), on_result=lambda _, count, result: results.append((count, result))
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
            notifiers.enqueue(replace(DECISION, key=key))
        await groups(1)
        assert Chat.made.groups == [["a", "b"]]
        for key in "cad":
            notifiers.enqueue(replace(DECISION, key=key))
        await asyncio.sleep(0.2)
        assert len(Chat.made.groups) == 1, "the interval is not over"
    # At the end nobody waits for it.
    assert Chat.made.groups == [["a", "b"], ["c", "d"]]
    assert results == [(2, "sent"), (2, "sent")]


async def test_a_group_that_is_given_up_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(d, "installed", lambda _: {"chat": Entry()})
    results: list[tuple[int, str]] = []
    notifiers = Notifiers(
        retry=Retry(sleep=immediately), on_result=lambda _, count, result: results.append((count, result))
    )
    await notifiers.load([NotifierConfig(name="chat", type="chat", group_wait_seconds=0)])
    Chat.made.failures = 100
    async with notifiers.working():
        notifiers.enqueue(DECISION)
    assert results[-1] == (1, "failed")
    assert Chat.made.groups == []


async def test_a_flood_of_one_namespace_costs_no_other_its_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(d, "installed", lambda _: {"chat": Entry()})
    results: dict[str, int] = {}

    def on_result(_: str, count: int, result: str) -> None:
        results[result] = results.get(result, 0) + count

    notifiers = Notifiers(retry=Retry(sleep=immediately), on_result=on_result)
    await notifiers.load([NotifierConfig(name="chat", type="chat", group_wait_seconds=0)])
    for number in range(1100):
        notifiers.enqueue(replace(ALERT, key=f"a{number}", namespace="tenant-a"))
    notifiers.enqueue(replace(DECISION, key="rolled-back", namespace="tenant-b"))
    for number in range(1100):
        notifiers.enqueue(replace(ALERT, key=f"b{number}", namespace="tenant-a"))
    async with notifiers.working():
        pass
    keys = [key for group in Chat.made.groups for key in group]
    assert keys[0] == "rolled-back", "decisions come before notices"
    assert keys[-1] == "b1099", "the oldest are dropped"
    assert results["dropped"] == 2200 - NAMESPACE_LENGTH


async def test_a_message_that_is_refused_costs_no_other_namespace_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(d, "installed", lambda _: {"chat": Entry()})
    notifiers = Notifiers(retry=Retry(sleep=immediately))
    await notifiers.load([NotifierConfig(name="chat", type="chat", group_wait_seconds=0)])
    Chat.made.refuses = "tenant-3"
    for number in range(7):
        notifiers.enqueue(replace(ALERT, key=str(number), namespace=f"tenant-{number}"))
    async with notifiers.working():
        pass
    assert sorted(key for group in Chat.made.groups for key in group) == ["0", "1", "2", "4", "5", "6"]
