"""The one decision: policy + observations + target + memory + now → Decision."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from resilience_operator.api.quantities import format_duration, format_value
from resilience_operator.api.spec import Mode
from resilience_operator.decision import judging, lifecycle, scaling
from resilience_operator.decision.commands import Command, Notice
from resilience_operator.decision.evidence import SHARED, Trial, judge_all, judge_release, only_suspect_crosses
from resilience_operator.decision.memory import (
    Memory,
    Phase,
    ReleaseMemory,
    RuleMemory,
    ScalingMemory,
    Shadow,
    Tally,
    Verdict,
)
from resilience_operator.decision.observation import Observation
from resilience_operator.decision.overlay import in_earnest, overlay, still_holds
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
    if policy.mode is not Mode.DRY_RUN:
        memory = in_earnest(memory, target, now)
    notices: list[Notice] = []
    shadow = still_holds(memory.shadow, target)
    seen = overlay(target, shadow)
    quarantined = {q.revision: q for q in memory.quarantined}
    release = lifecycle.follow(memory.release, policy, seen, quarantined, _ok_rules(policy, memory), now, notices)
    hands = scaling.watch_hands(_as_really_seen(memory, shadow), seen, notices)
    watched = release.phase in lifecycle.UNDER_WATCH
    # What was held against one revision is not held against the next.
    same = memory.release is not None and memory.release.revision == release.revision
    if watched:
        release = _measured_from(release, policy, observations, now, anew=not same)
    trial = Trial(release.revision if watched else release.rolled_from, quarantined, release.before, release.began)

    rules: dict[str, RuleMemory] = {}
    reports: list[RuleReport] = []
    charges: list[judging.Charge] = []
    demands: list[scaling.Demand] = []
    patience = PATIENCE * policy.interval
    lookback = max(patience, policy.window)
    measured = clean = True
    accused: set[str] = set()
    for rule in policy.rules:
        before = _before(memory, rule, same_release=same)
        readings = read(
            rule, before.timers, lambda c: judge_all(c, *_look(policy, observations, c, now)), now, patience
        )
        verdict = combine(rule, [r.timer.verdict for r in readings])
        breach = breach_since(before.breach, verdict, readings, now)
        sentence = tell(rule, readings, policy.signals)
        after = keep(before, timers=tuple(r.timer for r in readings), breach=breach)
        blame: Verdict | None = None
        if rule.guards_release and watched:
            turned = _turned_by(release, rule)
            against = read(
                rule,
                before.blame,
                lambda c, ok=turned: judge_release(  # type: ignore[misc]
                    c, *_look(policy, observations, c, now), trial, ok_before=ok
                ),
                now,
                patience,
            )
            blame = combine(rule, [r.timer.verdict for r in against])
            guilty = breach_since(before.guilty, blame, against, now)
            release = _share(release, rule, verdict, against)
            after = keep(after, blame=tuple(r.timer for r in against), guilty=guilty)
            measured = measured and blame is not Verdict.UNKNOWN
            clean = clean and blame is Verdict.OK and verdict not in (Verdict.PENDING, Verdict.BREACH)
            if blame in (Verdict.PENDING, Verdict.BREACH):
                accused.update(r.condition.signal for r in against if r.judgement.crossed)
            charges.append(
                judging.Charge(
                    rule,
                    blame,
                    guilty,
                    tell(rule, against, policy.signals),
                    ok_since=max(r.timer.since for r in against) if blame is Verdict.OK else None,
                    unknown_since=_unknown_since(against) if blame is Verdict.UNKNOWN else None,
                )
            )
        elif before.blame or before.guilty is not None:
            after = keep(after, blame=(), guilty=None)
        rules[rule.name] = after
        if rule.scale_up is not None:
            demands.append(scaling.Demand(rule, rule.scale_up, verdict, readings, sentence))
        if rule.alert and breach is not None:
            notices.append(Notice(f"alert/{rule.name}", "Alert", f"{rule.name}: {sentence}", warning=True))
        reports.append(
            RuleReport(rule, verdict, max((r.timer.since for r in readings), default=now), readings, sentence, blame)
        )

    release = lifecycle.bake(
        release,
        policy,
        measured=measured,
        clean=clean,
        now=now,
        patience=lookback,
        notices=notices,
    )
    quarantined_after = memory.quarantined
    if release.good in quarantined and release.good != (memory.release.good if memory.release else None):
        # People insisted on it, and it got through its bake.
        quarantined_after = tuple(q for q in quarantined_after if q.revision != release.good)
    judged = judging.act(release, policy, seen, charges, quarantined, now, notices)
    release = judged.release
    if not measured and (unjudged := _unjudged(release, seen, charges, now - lookback)):
        notices.append(unjudged)
    if trial.revision is not None:
        demands = [_suppress(d, policy, observations, trial, accused, now) for d in demands]
    metrics_gone = _metrics_gone(memory.metrics_gone, reports, now)
    sized = scaling.plan(policy, hands, seen, demands, rules, release, metrics_gone, now, notices)

    commands = judged.commands + ((sized.command,) if sized.command is not None else ())
    active = {n.key: n for n in notices}
    told = _told(memory.told, active, release)
    fresh = tuple(n for n in notices if n.passing or n.key not in memory.told)
    after_all = Memory(
        target_uid=target.uid,
        rules=rules,
        scaling=sized.scaling,
        release=release,
        quarantined=quarantined_after,
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
        rules=tuple(_with_notes(reports, sized.notes) if sized.notes else reports),
        signals=_signals(policy, reports, observations, now),
        wake=_next_wake(policy, rules, release, (judged.wake, sized.wake), now),
        active=active,
    )


def _unknown_since(readings: Iterable[Reading]) -> float | None:
    return min((r.timer.unknown for r in readings if r.timer.unknown is not None), default=None)


def tell(rule: Rule, readings: tuple[Reading, ...], signals: Mapping[str, Signal]) -> str:
    """One sentence with the numbers: `cpu is 85% (above 70% for 2m)`."""
    joint = " or " if rule.any_of else " and "
    return joint.join(_tell_one(r, signals[r.condition.signal].unit) for r in readings)


def _tell_one(reading: Reading, unit: str) -> str:
    condition, judgement = reading.condition, reading.judgement
    bound, hold = _bound(condition, unit)
    if judgement.value is None or judgement.crossed is None:
        return judgement.message or f"{condition.signal} is unknown ({judgement.reason})"
    if judgement.crossed:
        return f"{condition.signal} is {format_value(judgement.value, unit)} ({bound}{hold})"
    return judgement.message or f"{condition.signal} is {format_value(judgement.value, unit)} (not {bound})"


@lru_cache(maxsize=4096)
def _bound(condition: Condition, unit: str) -> tuple[str, str]:
    """`above 70%` and ` for 2m`: the same at every evaluation."""
    bound = f"{'above' if condition.above else 'below'} {format_value(condition.threshold, unit)}"
    return bound, f" for {format_duration(condition.hold)}" if condition.hold else ""


def _look(
    policy: Policy, observations: Mapping[str, Observation], condition: Condition, now: float
) -> tuple[Signal, Observation]:
    signal = policy.signals[condition.signal]
    found = observations.get(condition.signal)
    if found is None:
        return signal, Observation.unknown(now, "NotObserved", f"{signal.name} was not asked for")
    if now - found.at > max(signal.window, PATIENCE * policy.interval):
        message = f"{signal.name}: the newest sample is {format_duration(now - found.at)} old"
        return signal, Observation.unknown(found.at, "Stale", message)
    return signal, found


def _ok_rules(policy: Policy, memory: Memory) -> Iterator[str]:
    """The rules that were Ok when last looked at. Only a new release asks, so they are found only then."""
    for rule in policy.rules:
        last = memory.rules.get(rule.name)
        if last and last.timers and combine(rule, [t.verdict for t in last.timers]) is Verdict.OK:
            yield rule.name


def _measured_from(
    release: ReleaseMemory, policy: Policy, observations: Mapping[str, Observation], now: float, *, anew: bool
) -> ReleaseMemory:
    """Take down what it was like before the release (if `anew`), and since when its revision is measured."""
    if anew and release.ok_before:
        release = replace(release, before=_tallies(policy, observations, now))
    if release.before and release.began is None:
        counted = (observations[name] for name in release.before if name in observations)
        if any(release.revision in observation.by_revision for observation in counted):
            # Its first requests came within the last interval.
            return replace(release, began=now - policy.interval)
    return release


def _turned_by(release: ReleaseMemory, rule: Rule) -> bool:
    """Whether the release, if anything, turned this rule: it was Ok before, and the old pods did not breach it too.

    When the old pods are gone in the middle of a spike that they bore as well, the new ones are no more to blame.
    """
    return rule.name in release.ok_before and rule.name not in release.shared


def _share(release: ReleaseMemory, rule: Rule, verdict: Verdict, against: Sequence[Reading]) -> ReleaseMemory:
    shared = rule.name in release.shared
    if not shared and any(r.judgement.reason == SHARED for r in against):
        return replace(release, shared=(*release.shared, rule.name))
    if shared and verdict is Verdict.OK:
        return replace(release, shared=tuple(name for name in release.shared if name != rule.name))
    return release


def _tallies(policy: Policy, observations: Mapping[str, Observation], now: float) -> dict[str, Tally]:
    """The counted signals of the rules that guard releases, as far as there are enough requests to tell."""
    found: dict[str, Tally] = {}
    for condition in (c for rule in policy.rules if rule.guards_release for c in rule.conditions):
        signal, observation = _look(policy, observations, condition, now)
        measured = observation.measured
        if measured is None or measured.samples is None or measured.events is None:
            continue
        if measured.samples >= max(signal.min_samples, 1.0):
            found[condition.signal] = Tally(measured.samples, measured.events)
    return found


def _before(memory: Memory, rule: Rule, *, same_release: bool) -> RuleMemory:
    """A rule's past, without what was about something else: other conditions, another revision."""
    before = memory.rules.get(rule.name) or RuleMemory()
    if before.of != rule.signature:
        return RuleMemory(of=rule.signature, scaled=before.scaled)
    if not same_release and (before.blame or before.guilty is not None):
        return replace(before, blame=(), guilty=None)
    return before


def _as_really_seen(memory: Memory, shadow: Shadow | None) -> ScalingMemory:
    """Once a rehearsed size was overtaken by a real change, the change is one from the real size."""
    was = memory.shadow
    if was is None or was.replicas is None or (shadow is not None and shadow.replicas is not None):
        return memory.scaling
    return replace(memory.scaling, seen=was.real_replicas)


def _unjudged(
    release: ReleaseMemory, target: TargetState, charges: Sequence[judging.Charge], since: float
) -> Notice | None:
    """What to tell of a release that could not be judged from `since` on, though its pods are ready for traffic."""
    current = target.find(release.revision)
    if release.phase not in lifecycle.UNDER_WATCH or release.hands_off or current is None or not current.ready:
        return None
    unknown = [c.sentence for c in charges if c.unknown_since is not None and c.unknown_since <= since]
    if not unknown:
        return None
    return Notice(
        f"unjudged/{release.revision}",
        "ReleaseNotJudged",
        f"revision {release.revision} cannot be judged: {'; '.join(unknown)}. It is left alone",
        warning=True,
    )


def _told(before: frozenset[str], active: Mapping[str, Notice], release: ReleaseMemory) -> frozenset[str]:
    """What need not be told again: all that holds, and what was told of this release while it is watched."""
    told = {key for key, notice in active.items() if not notice.passing}
    if release.phase in lifecycle.UNDER_WATCH:
        told.update(key for key in before if key.endswith(f"/{release.revision}") and not key.startswith("alert/"))
    return before if told == before else frozenset(told)


def _suppress(
    demand: scaling.Demand,
    policy: Policy,
    observations: Mapping[str, Observation],
    trial: Trial,
    accused: Container[str],
    now: float,
) -> scaling.Demand:
    """A breach that only one revision shows is that release's: it is no reason to scale up.

    trial: of the revision that is on its way, or that is being rolled back, or was: what its last pods did stays in
    the look-back for a while. accused: signals that are held against the release already.
    """
    if demand.verdict is not Verdict.BREACH:
        return demand
    crossing = [r.condition for r in demand.readings if r.judgement.crossed]
    blamed = all(
        only_suspect_crosses(c, *_look(policy, observations, c, now), trial, accused=c.signal in accused)
        for c in crossing
    )
    return replace(demand, suppressed=True) if crossing and blamed else demand


def _metrics_gone(before: float | None, reports: list[RuleReport], now: float) -> float | None:
    """Since when every rule that scales (every rule at all, where none does) has been without a measurement."""
    asked = [r for r in reports if r.rule.scale_up is not None] or reports
    for report in asked:
        for reading in report.readings:
            if reading.judgement.value is not None:
                return None
    return now if before is None else before


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
            for index, timer in enumerate(timers):
                if timer.verdict is Verdict.PENDING and timer.crossed is not None:
                    due.append(timer.crossed + rule.conditions[index].hold)
    if release.phase is Phase.BAKING and release.ready is not None:
        due.append(release.ready + policy.release.bake)
    if release.phase is Phase.ROLLED_BACK:
        due.append(release.since + policy.release.bake)
    return min((t for t in due if t > now), default=None)
