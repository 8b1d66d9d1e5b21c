"""A decision is told through every built-in notifier, on real HTTP; one that fails is seen and harms nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.test_security import command
from tests.support.operator import Operator
from tests.support.receiver import Posted, receiving
from tests.support.waiting import eventually
from tests.support.world import World

BUSY = [{"name": "load", "query": "vector(25)"}]
RULE = {"name": "busy", "when": {"signal": "load", "above": 10}, "then": [{"alert": {}}, {"scaleUp": {"pods": 2}}]}


def test_a_decision_is_told_in_one_message_to_each_and_a_notifier_that_fails_is_seen(
    world: World, new_operator: Callable[..., Operator], tmp_path: Path
) -> None:
    secrets: dict[str, str] = {}

    def secret(name: str, text: str = "SECRET") -> str:
        secrets[name] = f"canary-{os.urandom(8).hex()}"
        (tmp_path / name).write_text(text.replace("SECRET", secrets[name]))
        return str(tmp_path / name)

    with receiving() as good, receiving() as flaky, receiving() as broken:
        flaky.answers = [503, 429]
        broken.status = 404
        link = "https://dashboard.example/{namespace}/{policy}?trace={trace_id}"
        webhook = {"url": f"{good.url}/hook", "header_files": {"X-Key": secret("key")}, "link": link}
        apprise = secret("apprise", f"{good.url.replace('http', 'json')}/apprise?+X-Secret=SECRET")
        notifiers: list[dict[str, Any]] = [
            {
                "name": "chat",
                "type": "slack",
                "options": {"url_file": secret("chat", f"{flaky.url}/SECRET"), "link": link},
            },
            {
                "name": "teams",
                "type": "teams",
                "options": {"url_file": secret("teams", f"{good.url}/teams?sig=SECRET")},
            },
            {"name": "hook", "type": "webhook", "options": webhook},
            {"name": "am", "type": "alertmanager", "options": {"url": f"{good.url}/am", "link": link}},
            {"name": "graph", "type": "grafana", "options": {"url": f"{good.url}/grafana", "link": link}},
            {"name": "any", "type": "apprise", "options": {"url_file": apprise}},
            {"name": "broken", "type": "slack", "options": {"url_file": secret("broken", f"{broken.url}/SECRET")}},
            {"name": "wrong", "type": "webhook", "options": {"url": "ftp://127.0.0.1", "token": "x"}},
        ]
        config = tmp_path / "config.yaml"
        config.write_text(yaml.safe_dump({"notifiers": [{"group_wait_seconds": 1, **n} for n in notifiers]}))
        operator = new_operator("--config", str(config), "--log-level", "debug").start()
        world.deployment()
        world.policy(signals=BUSY, rules=[RULE], replicas={"min": 3, "max": 5})
        world.until(lambda: world.actions() == ["scaleUp"], "it scales")
        trace = world.status()["lastDecision"]["traceID"]

        def once(path: str, where: Any = good) -> Posted:
            """The message that tells of the scaling; the alert of the same evaluation is in it too."""
            return eventually(
                lambda: next((p for p in where.at(path) if b"scaleUp" in p.body), None), f"{path} is told"
            )

        hook = once("/hook")
        assert hook.headers["X-Key"] == secrets["key"]
        told = {n["reason"]: n for n in hook.document["notifications"]}
        expected = {
            "namespace": world.namespace, "policy": "checkout", "target": "checkout", "action": "scaleUp",
            "result": "Done", "rule": "busy", "from": "3", "to": "5", "dryRun": False, "traceID": trace,
            "link": f"https://dashboard.example/{world.namespace}/checkout?trace={trace}",
        }  # fmt: skip
        assert expected.items() <= told["RuleBreached"].items()
        assert "load is 25 (above 10)" in told["RuleBreached"]["message"]
        assert told["Alert"]["kind"] == "notice"
        assert told["Alert"]["traceID"] == trace

        slack = once(f"/{secrets['chat']}", flaky).document["text"]
        assert f"<{expected['link']}|{world.namespace}/checkout>" in slack
        assert "scaleUp 3 → 5 (Done): load is 25 (above 10)" in slack.replace("&gt;", ">")
        assert [p.answered for p in flaky.posted][:3] == [503, 429, 200]
        assert operator.metric("resilience_retries_total", dependency="notifier/chat") >= 2

        (attachment,) = once(f"/teams?sig={secrets['teams']}").document["attachments"]
        assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
        assert any("scaleUp 3 → 5" in block["text"] for block in attachment["content"]["body"])

        alerts = {a["labels"]["alertname"]: a for a in once("/am/api/v2/alerts").document}
        assert {
            "namespace": world.namespace,
            "policy": "checkout",
            "reason": "RuleBreached",
            "severity": "info",
        }.items() <= alerts["ResilienceDecision"]["labels"].items()
        assert alerts["ResilienceDecision"]["generatorURL"] == expected["link"]
        assert alerts["ResilienceNotice"]["labels"]["severity"] == "warning"

        mark = once("/grafana/api/annotations").document
        assert {"resilience", f"namespace:{world.namespace}", "action:scaleUp", "result:Done"} <= set(mark["tags"])
        assert "scaleUp 3 → 5 (Done)" in mark["text"]
        assert mark["text"].endswith(expected["link"])
        assert abs(mark["time"] / 1000 - time.time()) < 600

        once("/apprise")
        for name in ("broken", "wrong"):
            eventually(
                lambda n=name: operator.metric("resilience_notifier_failing", notifier=n) == 1, f"{name} is seen"
            )
        assert operator.metric("resilience_notifications_total", notifier="broken", result="failed") >= 2
        assert operator.metric("resilience_notifier_failing", notifier="chat") == 0
        assert world.replicas() == 5
        shown = {
            "log": operator.log.read_text(),
            "metrics": operator.get("/metrics")[1],
            "config": command("config", "--config", str(config)),
            "events": json.dumps(world.events("ResiliencePolicy")),
            "policy": json.dumps(world.read_policy()),
        }
    for place, text in shown.items():
        assert text, place
        assert "canary" not in text, f"a secret is in {place}"
    assert "notifier plugin broken" in shown["log"]
    assert "HTTP 404" in shown["log"]
