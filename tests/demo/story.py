"""The four acts. Each begins and ends in the same state: Stable, every signal Ok, three pods."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.demo.act import Act, Scene
from tests.demo.stage import BUSY, CALM, RUSH, SHOP
from tests.demo.view import NAME, Obj, Snapshot

SLOW = 1.4
"""Seconds of the slow dependency's P99."""

APART = 12.0
"""Seconds between a scale-down and a slow dependency. A latency that came back at once would count as its effect, and
keep a pod for an hour."""

BUSY_FOR = 16.0
"""Seconds of high load after a scale-up: the whole window is then of five pods, which the load needs. A load that falls
before may be seen to need four for a while, and the scale-down takes two steps."""

ERRORS = 0.2
"""Share of requests that a bad image fails."""


def load_rises(act: Act) -> None:
    """CPU over 70% for its `for`: two more pods, and a scale-down after a stable period."""
    act.until(_calm)
    act.check(
        "decided: scaleUp 3 → 5, by rule cpu-saturation", lambda s: _made(s, "scaleUp", "cpu-saturation", "3", "5")
    )
    act.check("decided: scaleDown 5 → 3", lambda s: _made(s, "scaleDown", "", "5", "3"))
    act.check("events on the Deployment: ScaledUp, ScaledDown", lambda s: s.told("ScaledUp") and s.told("ScaledDown"))
    act.say(f"Load rises from {CALM:.0f} to {BUSY:.0f} requests/s. CPU will be above 70%; the rule waits 10 s.")
    act.world.load.workload(SHOP, NAME, rps=BUSY)
    act.until(lambda s: s.verdict("cpu") == "Pending", "cpu crossed 70%, and the operator waited: Pending")
    act.until(lambda s: s.replicas == s.ready == 5, "two more pods: 5 replicas, all ready")
    act.until(lambda s: s.verdict("cpu") == "Ok", "cpu is back under 70%")
    act.until(lambda s: _is_long_after(s, "scaleUp", BUSY_FOR))
    act.say(f"Load returns to {CALM:.0f} requests/s. After a stable period of 10 s the target is scaled down.")
    act.world.load.workload(SHOP, NAME, rps=CALM)
    act.until(lambda s: s.replicas == 3 and s.settled, "scaled down: 3 replicas")


def requests_are_slow(act: Act) -> None:
    """Latency over 1 s: a warning, and half as many pods again."""
    act.until(_calm)
    act.check(
        "alert: a Warning event on the Deployment, with the number",
        lambda s: [e for e in s.told("Alert") if e["type"] == "Warning" and "latency-p99 is" in e["note"]],
    )
    act.check("decided: scaleUp 3 → 5, by rule slow-requests", lambda s: _made(s, "scaleUp", "slow-requests", "3", "5"))
    act.until(lambda s: _is_long_after(s, "scaleDown", APART))
    act.say(f"A dependency becomes slow: the P99 rises to {SLOW:g} s. The operator alerts and adds pods.")
    act.world.load.workload(SHOP, NAME, latency_p99_seconds=SLOW)
    act.until(lambda s: s.replicas == s.ready == 5, "pre-scaled by half, rounded up: 3 → 5 replicas, all ready")
    act.say("The dependency recovers.")
    act.world.load.workload(SHOP, NAME, latency_p99_seconds=None)
    act.until(lambda s: s.verdict("latency-p99") == "Ok", "latency is back under 1 s")


def _is_long_after(seen: Snapshot, action: str, seconds: float) -> bool:
    found = [datetime.fromisoformat(e["at"]) for e in seen.status.get("history", []) if e["action"] == action]
    return not found or datetime.now(UTC) - max(found) > timedelta(seconds=seconds)


def a_bad_release(act: Act) -> None:
    """Errors over 1%: paused, rolled back, healthy."""
    before = act.until(lambda s: s.phase == "Stable" and s.verdict("error-rate") == "Ok")
    good = before.target["lastGoodRevision"]
    act.check("decided: pauseRollout, then rollback, by rule failing-release", lambda s: _paused_then_rolled_back(s, 0))
    act.check(
        f"rolled back to the last good revision, {good}",
        lambda s: s.target.get("revision") == s.target.get("lastGoodRevision") == good,
    )
    act.check("the failed revision is quarantined", lambda s: [q["rule"] for q in s.status.get("quarantined", [])])
    act.check(
        "Warning events on the Deployment: RolloutPaused, RolledBack",
        lambda s: all([e["type"] for e in s.told(r)] == ["Warning"] for r in ("RolloutPaused", "RolledBack")),
    )
    act.say(f"{NAME}:2.0 is released, one pod at a time. It fails {ERRORS:.0%} of its requests.")
    _release(act, "2.0")
    act.until(lambda s: s.paused and s.phase == "Paused" and s.tags.get("1.0"), "paused while pods of 1.0 still serve")
    act.until(lambda s: s.tag == "1.0" and not s.paused, "the good template is back, and the pause lifted")
    act.until(lambda s: set(s.tags) == {"1.0"}, "no pod of 2.0 is left")
    act.until(lambda s: s.phase == "RolledBack", "phase RolledBack")
    act.say("After its bake and a stable period, the pods that act 2 added are removed too.")
    act.until(_calm, "healthy: Stable, every signal Ok, 3 pods of 1.0")


def rehearsed(act: Act) -> None:
    """The same in DryRun: everything is decided and recorded, nothing is changed."""
    act.until(_calm)
    seen = len(act.look().journal)
    act.say("mode: DryRun. From now on the operator decides, records and reports, but changes nothing.")
    act.world.change_policy(mode="DryRun")
    act.until(lambda s: _ready(s).get("reason") == "DryRun")
    writes = act.stage.writes()
    act.say(f"Load rises to {RUSH:.0f} requests/s, and {NAME}:2.1 is released, which fails like 2.0.")
    act.world.load.workload(SHOP, NAME, rps=RUSH)
    _release(act, "2.1")
    released = act.look().deployment

    def only_rehearsed(s: Snapshot) -> bool:
        return len(s.journal) > seen and all(d.get("dryRun") for d in s.journal[seen:])

    act.check(
        "decided as before: scaleUp, by rule cpu-saturation",
        lambda s: _made(s, "scaleUp", "cpu-saturation", since=seen),
    )
    act.check("decided as before: pauseRollout, then rollback", lambda s: _paused_then_rolled_back(s, seen))
    act.check("all of it recorded with dryRun: true", only_rehearsed)
    act.check(
        "the alert was sent, marked [dry run]",
        lambda s: [e for e in s.told("Alert") if e["note"].startswith("[dry run]")],
    )
    act.check(
        "the Deployment's spec and generation are the same as right after the release",
        lambda s: _written(s.deployment) == _written(released),
    )
    act.check(
        f"the audit log has {writes} writes of the operator to workloads before the dry run, and 0 since",
        lambda _: writes > 0 and act.stage.writes() == writes,
    )
    act.until(
        lambda s: _made(s, "scaleUp", since=seen) and _made(s, "rollback", since=seen), "every decision has been made"
    )
    act.say(f"The dependency becomes slow again: {SLOW:g} s.")
    act.world.load.workload(SHOP, NAME, latency_p99_seconds=SLOW)
    act.until(lambda s: any(e["note"].startswith("[dry run]") for e in s.told("Alert")))
    end = act.look()
    act.say(f"In the cluster: still {end.replicas} replicas of {NAME}:{end.tag}. Nothing was changed.")


def _calm(s: Snapshot) -> bool:
    ok = all(signal.verdict == "Ok" for signal in s.signals)
    return ok and s.phase == "Stable" and s.replicas == 3 and s.settled and not s.paused


def _ready(s: Snapshot) -> Obj:
    return next((c for c in s.status.get("conditions", ()) if c["type"] == "Ready"), {})


def _made(s: Snapshot, action: str, rule: str = "", from_: str = "", to: str = "", since: int = 0) -> list[Obj]:
    """Return the decisions of the journal from entry `since` on; empty arguments match all."""
    return [
        d
        for d in s.journal[since:]
        if d["action"] == action
        and rule in d.get("rule", "")
        and from_ in ("", d.get("from"))
        and to in ("", d.get("to"))
    ]


def _paused_then_rolled_back(s: Snapshot, since: int) -> bool:
    found = [d["action"] for d in s.journal[since:] if d.get("rule") == "failing-release"]
    return found == ["pauseRollout", "rollback"]


def _release(act: Act, tag: str) -> None:
    act.world.load.image(act.world.image(tag, NAME), error_ratio=ERRORS)
    act.world.release(tag, NAME)


def _written(deployment: Obj) -> tuple[Obj, int]:
    return deployment["spec"], deployment["metadata"]["generation"]


SCENES = (
    Scene("Act 1 · Load rises: CPU over 70% for 10 s → two more pods → stable → scaled down", load_rises),
    Scene("Act 2 · Requests are slow: P99 over 1 s → alert, and half as many pods again", requests_are_slow),
    Scene("Act 3 · A bad release: errors over 1% → paused → rolled back → healthy", a_bad_release),
    Scene("Act 4 · The same in DryRun: everything decided and recorded, nothing changed", rehearsed),
)
