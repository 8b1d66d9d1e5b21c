"""The one decision: policy + observations + target + memory + now → Decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from resilience_operator.api.quantities import format_duration, format_value
from resilience_operator.decision import judging, lifecycle, scaling
from resilience_operator.decision.commands import Command, Notice
from resilience_operator.decision.evidence import judge_all, judge_release, only_new_crosses
from resilience_operator.decision.memory import Memory, Phase, ReleaseMemory, RuleMemory, Verdict
from resilience_operator.decision.observation import Observation
from resilience_operator.decision.overlay import overlay, still_holds
from resilience_operator.decision.policy import Condition, Policy, Rule, Signal
from resilience_operator.decision.target import TargetState
from resilience_operator.decision.verdicts import PATIENCE, Reading, breach_since, combine, keep, read


@dataclass(frozen=True, slots=True)
class RuleReport:
    """One rule, for people: verdict, since when, its readings, and why it did not act though it might have."""

    rule: Rule
    verdict: Verdict
    since: float
    readings: tuple[Reading, ...]
    sentence: str
    blame: Verdict | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class SignalReport:
    """One signal, for people: its value (None when unknown), the strongest verdict that rests on it, and why."""

    name: str
    unit: str
    value: float | None
    verdict: Verdict
    since: float
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do and why, and what to remember if it is done.

    memory holds everything but the effect of the commands, which `remember.remember` adds when they happened.
    target is the state that was judged (with rehearsed changes laid over it). wake: when a timer is due, or None.
    """

    at: float
    policy: Policy
    target: TargetState
    memory: Memory
    commands: tuple[Command, ...] = ()
    notices: tuple[Notice, ...] = ()
    rules: tuple[RuleReport, ...] = ()
    signals: tuple[SignalReport, ...] = ()
    wake: float | None = None
    active: Mapping[str, Notice] = field(default_factory=dict)

    @property
    def phase(self) -> Phase:
        """Where the release stands."""
        assert self.memory.release is not None
        return self.memory.release.phase


def decide(
    policy: Policy,
    observations: Mapping[str, Observation],
    target: TargetState,
    memory: Memory,
    now: float,
) -> Decision:
    """Judge one target. A signal without an observation counts as Unknown."""
    if memory.target_uid != target.uid:
        # Another object under the same name: what was remembered of the old one is not true of it.
        memory = Memory(target_uid=target.uid)
    notices: list[Notice] = []
    shadow = still_holds(memory.shadow, target)
    seen = overlay(target, shadow)
    quarantined = {q.revision: q for q in memory.quarantined}
    ok_rules = [name for name, m in memory.rules.items() if m.timers and _all_ok(m)]
    release = lifecycle.follow(memory.release, policy, seen, quarantined, ok_rules, now, notices)
    hands = scaling.watch_hands(memory.scaling, seen, now, notices)
    watched = release.phase in lifecycle.UNDER_WATCH
    ok_before = set(release.ok_before)

    rules: dict[str, RuleMemory] = {}
    reports: list[RuleReport] = []
    charges: list[judging.Charge] = []
    demands: list[scaling.Demand] = []
    patience = PATIENCE * policy.interval
    measured = clean = True
    for rule in policy.rules:
        before = memory.rules.get(rule.name) or RuleMemory()
        readings = read(
            rule, before.timers, lambda c: judge_all(c, *_look(policy, observations, c, now)), now, patience
        )
        verdict = combine(rule, [r.timer.verdict for r in readings])
        breach = breach_since(before.breach, verdict, readings, now)
        sentence = tell(rule, readings, policy.signals)
        after = keep(before, timers=tuple(r.timer for r in readings), breach=breach)
        blame: Verdict | None = None
        if rule.guards_release and watched:
            against = read(
                rule,
                before.blame,
                lambda c, ok=rule.name in ok_before: judge_release(  # type: ignore[misc]
                    c, *_look(policy, observations, c, now), release.revision, ok
                ),
                now,
                patience,
            )
            blame = combine(rule, [r.timer.verdict for r in against])
            guilty = breach_since(before.guilty, blame, against, now)
            after = keep(after, blame=tuple(r.timer for r in against), guilty=guilty)
            measured = measured and blame is not Verdict.UNKNOWN
            clean = clean and blame is Verdict.OK
            ok_since = max((r.timer.since for r in against), default=now) if blame is Verdict.OK else None
            charges.append(judging.Charge(rule, blame, guilty, tell(rule, against, policy.signals), ok_since))
        elif before.blame or before.guilty is not None:
            after = keep(after, blame=(), guilty=None)
        rules[rule.name] = after
        if rule.scale_up is not None:
            demands.append(scaling.Demand(rule, rule.scale_up, verdict, readings, sentence))
        if rule.alert and verdict is Verdict.BREACH:
            notices.append(Notice(f"alert/{rule.name}", "Alert", f"{rule.name}: {sentence}", warning=True))
        reports.append(
            RuleReport(rule, verdict, max((r.timer.since for r in readings), default=now), readings, sentence, blame)
        )

    release = lifecycle.bake(release, policy, measured=measured, clean=clean, now=now, notices=notices)
    judged = judging.act(release, policy, seen, charges, quarantined, now, notices)
    release = judged.release
    if not measured and release.phase in (Phase.PROGRESSING, Phase.PAUSED):
        unknown = "; ".join(c.sentence for c in charges if c.verdict is Verdict.UNKNOWN)
        notices.append(
            Notice(
                f"unjudged/{release.revision}",
                "ReleaseNotJudged",
                f"revision {release.revision} cannot be judged: {unknown}. It is left alone",
                warning=True,
            )
        )
    if any(c.verdict in (Verdict.PENDING, Verdict.BREACH) for c in charges):
        demands = [_suppress(d, policy, observations, release.revision) for d in demands]
    metrics_gone = _metrics_gone(memory.metrics_gone, reports, now)
    sized = scaling.plan(policy, hands, seen, demands, rules, release, metrics_gone, now, notices)

    commands = judged.commands + ((sized.command,) if sized.command is not None else ())
    active = {n.key: n for n in notices}
    told = frozenset(active)
    fresh = tuple(n for n in notices if n.key not in memory.told)
    after_all = Memory(
        target_uid=target.uid,
        rules=rules,
        scaling=sized.scaling,
        release=release,
        quarantined=memory.quarantined,
        shadow=shadow,
        intent=None,
        told=memory.told if told == memory.told else told,
        metrics_gone=metrics_gone,
    )
    return Decision(
        at=now,
        policy=policy,
        target=seen,
        memory=after_all,
        commands=commands,
        notices=fresh,
        rules=tuple(_with_notes(reports, sized.notes)),
        signals=_signals(policy, reports, observations, now),
        wake=_next_wake(policy, rules, release, (judged.wake, sized.wake), now),
        active=active,
    )


def tell(rule: Rule, readings: tuple[Reading, ...], signals: Mapping[str, Signal]) -> str:
    """One sentence with the numbers: `cpu is 85% (above 70% for 2m)`."""
    joint = " or " if rule.any_of else " and "
    return joint.join(_tell_one(r, signals[r.condition.signal].unit) for r in readings)


def _tell_one(reading: Reading, unit: str) -> str:
    condition, judgement = reading.condition, reading.judgement
    bound = f"{'above' if condition.above else 'below'} {format_value(condition.threshold, unit)}"
    hold = f" for {format_duration(condition.hold)}" if condition.hold else ""
    if judgement.value is None or judgement.crossed is None:
        return judgement.message or f"{condition.signal} is unknown ({judgement.reason})"
    if judgement.crossed:
        return f"{condition.signal} is {format_value(judgement.value, unit)} ({bound}{hold})"
    return judgement.message or f"{condition.signal} is {format_value(judgement.value, unit)} (not {bound})"


def _look(
    policy: Policy, observations: Mapping[str, Observation], condition: Condition, now: float
) -> tuple[Signal, Observation]:
    signal = policy.signals[condition.signal]
    found = observations.get(condition.signal)
    if found is None:
        found = Observation.unknown(now, "NotObserved", f"{signal.name} was not asked for")
    return signal, found


def _all_ok(memory: RuleMemory) -> bool:
    return all(t.verdict is Verdict.OK for t in memory.timers)


def _suppress(
    demand: scaling.Demand, policy: Policy, observations: Mapping[str, Observation], revision: str | None
) -> scaling.Demand:
    """A breach that only the new revision shows is the release's: it is no reason to scale up."""
    if demand.verdict is not Verdict.BREACH:
        return demand
    crossing = [r.condition for r in demand.readings if r.judgement.crossed]
    blamed = all(only_new_crosses(c, policy.signals[c.signal], observations[c.signal], revision) for c in crossing)
    return replace(demand, suppressed=True) if crossing and blamed else demand


def _metrics_gone(before: float | None, reports: list[RuleReport], now: float) -> float | None:
    """Since when every rule that scales has been without a measurement."""
    scalers = [r for r in reports if r.rule.scale_up is not None]
    gone = bool(scalers) and all(reading.judgement.value is None for report in scalers for reading in report.readings)
    return (now if before is None else before) if gone else None


def _with_notes(reports: list[RuleReport], notes: Mapping[str, str]) -> list[RuleReport]:
    return [replace(r, note=notes[r.rule.name]) if r.rule.name in notes else r for r in reports]


_STRENGTH = {Verdict.BREACH: 3, Verdict.UNKNOWN: 2, Verdict.PENDING: 1, Verdict.OK: 0}


def _signals(
    policy: Policy, reports: list[RuleReport], observations: Mapping[str, Observation], now: float
) -> tuple[SignalReport, ...]:
    """Each signal with the strongest verdict that rests on it."""
    best: dict[str, Reading] = {}
    for report in reports:
        for reading in report.readings:
            name = reading.condition.signal
            if name not in best or _STRENGTH[reading.timer.verdict] > _STRENGTH[best[name].timer.verdict]:
                best[name] = reading
    return tuple(
        SignalReport(
            name,
            policy.signals[name].unit,
            r.judgement.value,
            r.timer.verdict,
            r.timer.since,
            r.judgement.reason,
            r.judgement.message,
        )
        for name, r in best.items()
    )


def _next_wake(
    policy: Policy,
    rules: Mapping[str, RuleMemory],
    release: ReleaseMemory,
    others: Iterable[float | None],
    now: float,
) -> float | None:
    """When the next timer is due: a `for`, an `after`, a bake, a cooldown, a calm."""
    due = [t for t in others if t is not None]
    for rule in policy.rules:
        memory = rules[rule.name]
        for timers in (memory.timers, memory.blame):
            due += [
                t.crossed + c.hold
                for t, c in zip(timers, rule.conditions, strict=False)
                if t.verdict is Verdict.PENDING and t.crossed is not None
            ]
    if release.phase is Phase.BAKING and release.ready is not None:
        due.append(release.ready + policy.release.bake)
    return min((t for t in due if t > now), default=None)
