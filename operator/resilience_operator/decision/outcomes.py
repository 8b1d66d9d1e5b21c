"""Applies the outcomes of commands to the memory, and recovers intents after a crash or a lost response."""

from __future__ import annotations

from collections.abc import Iterable

from resilience_operator.api.text import cut
from resilience_operator.decision.configuration.revisions import pending_rollback
from resilience_operator.decision.dry_run import add_command
from resilience_operator.decision.model.commands import Command, Outcome, Result, Verb
from resilience_operator.decision.model.memory import (
    FreezeMemory,
    HoldMemory,
    Intent,
    Memory,
    Phase,
    Quarantine,
    ReleaseMemory,
    RollbackResult,
    RuleMemory,
    ScalingMemory,
)
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import MANAGER, TargetState
from resilience_operator.decision.plugin_calls import mark_called

MAX_QUARANTINE_RULES = 8
"""Maximum number of rule names stored with a quarantined revision, for display."""

MAX_QUARANTINE_MESSAGE = 512
"""Maximum bytes of the message stored with a quarantined revision."""

MAX_QUARANTINED = 10


def apply_outcomes(memory: Memory, outcomes: Iterable[Outcome], target: TargetState, now: float) -> Memory:
    """Return the memory after commands were executed or simulated at `now`. `target`: the real one, before them.

    A failed command may have taken effect if the response was lost. It is kept as an intent, which `recover_intent`
    resolves from the next target state. Otherwise its effect would look like a manual change.
    """
    failed: tuple[Command, ...] = ()
    for outcome in outcomes:
        if outcome.command.verb is Verb.PLUGIN:
            memory = mark_called(memory, outcome)
            continue
        if outcome.result in (Result.FAILED, Result.POSTPONED) or _may_be_incomplete(outcome):
            failed += (outcome.command,)
        if not outcome.applied:
            continue
        if outcome.result is Result.DRY_RUN:
            memory = replace(memory, overlay=add_command(memory.overlay, outcome.command, target))
        memory = _effect(memory, outcome.command, target, now, dry_run=outcome.result is Result.DRY_RUN)
    return replace(memory, intent=Intent(now, failed)) if failed else memory


def _may_be_incomplete(outcome: Outcome) -> bool:
    """Return whether a rollback may have restored configuration before a change of the target ended it."""
    return (
        outcome.result is Result.SUPERSEDED
        and "content" in outcome.command.arguments
        and (outcome.command.verb is Verb.ROLLBACK)
    )


def _effect(memory: Memory, command: Command, target: TargetState, now: float, *, dry_run: bool) -> Memory:
    release = memory.release
    assert release is not None
    match command.verb:
        case Verb.SCALE_UP:
            rules = dict(memory.rules)
            for name in command.rules:
                rules[name] = replace(rules.get(name) or RuleMemory(), scaled=now)
            scaling = _scaled(memory.scaling, command)
            return replace(memory, rules=rules, scaling=replace(scaling, stable_since=None))
        case Verb.SCALE_DOWN:
            return replace(memory, scaling=replace(_scaled(memory.scaling, command), stable_since=now, scaled_down=now))
        case Verb.PAUSE:
            paused = replace(
                release,
                phase=Phase.PAUSED,
                since=now,
                paused=now,
                paused_rules=command.rules,
                lifted_rules=(),
                # The pause and its annotation are one patch. A replace from a manifest may remove both at once.
                pause_marked=not dry_run,
            )
            return replace(memory, release=paused, freeze=memory.freeze and memory.freeze.not_held())
        case Verb.RESUME:
            resumed = replace(
                release,
                phase=Phase.PROGRESSING,
                since=now,
                paused=None,
                paused_rules=(),
                pause_marked=False,
                rollback_limit_reached=False,
                held_unmeasured=False,
            )
            return replace(memory, release=resumed)
        case Verb.ROLLBACK:
            return _rolled_back(memory, command, target, now, dry_run=dry_run)
        case Verb.FREEZE:
            return replace(memory, freeze=replace(memory.freeze or FreezeMemory(), held_since=now))
        case Verb.UNFREEZE:
            return replace(memory, freeze=None)
        case Verb.DENY_ROLLBACK if memory.request is not None:
            denied = replace(memory.request, denied=True, approved=False, by=str(command.arguments.get("by", "")))
            return replace(memory, request=denied)
        case Verb.KEEP_CONFIGURATION:
            return replace(memory, release=replace(release, kept_content=str(command.arguments["content"])))
        case Verb.LIFT_HOLD:
            return _hold_lifted(memory, command, now)
        case _:
            return memory


def _hold_lifted(memory: Memory, command: Command, now: float) -> Memory:
    """Return the memory without a hold.

    If the source changed, the quarantine begins anew, with its count: the new version may have the same template.
    """
    hold, source = memory.hold, command.arguments.get("source")
    if hold is None:
        return memory
    if not isinstance(source, str):
        return replace(memory, hold=replace(hold, since=None))
    quarantined = tuple(
        replace(q, rollbacks=0, at=now) if q.revision == hold.revision else q for q in memory.quarantined
    )
    return replace(memory, quarantined=quarantined, hold=replace(hold, source=source, uncertain=False, since=None))


def _held(memory: Memory, command: Command, now: float) -> HoldMemory | None:
    """Return the hold after a rollback: the one that it began, if it did."""
    owner, before = command.arguments.get("hold"), memory.hold
    if not owner:
        return before
    revision, source = str(command.from_), str(command.arguments.get("source", ""))
    same = before is not None and (before.revision, before.owner) == (revision, owner)
    # The version for which it was lifted brought the revision back.
    known = same and before is not None and before.source == source and not before.uncertain
    uncertain = command.arguments.get("uncertain") is True and not known
    since = before.since if same and before is not None and before.since is not None else now
    return HoldMemory(revision, str(owner), source, uncertain, since)


def _scaled(scaling: ScalingMemory, command: Command) -> ScalingMemory:
    """Return the memory of a size that the operator wrote, and of the size before."""
    to, before = int(command.to or 0), int(command.from_ or 0)
    if command.via:
        # `from_` of a step up may be the replicas. The last minimum written is then at most that.
        return replace(scaling, min_written=to, min_changed_from=before)
    return replace(scaling, last_replicas=to, changed_from=before, reset_from=None, reset_at=None)


def _rolled_back(memory: Memory, command: Command, target: TargetState, now: float, *, dry_run: bool) -> Memory:
    release = memory.release
    assert release is not None
    left, to = str(command.from_), str(command.to)
    before = next((q for q in memory.quarantined if q.revision == left), None)
    entry = Quarantine(
        left,
        now,
        command.rules[:MAX_QUARANTINE_RULES] if before is None else before.rules,
        cut(command.message.partition(": revision ")[0], MAX_QUARANTINE_MESSAGE) if before is None else before.message,
        1 if before is None else before.rollbacks + 1,
        dry_run and (before is None or before.dry_run),
    )
    others = tuple(q for q in memory.quarantined if q.revision != left)
    return replace(
        memory,
        quarantined=(*others, entry)[-MAX_QUARANTINED:],
        freeze=memory.freeze and memory.freeze.not_held(),
        request=None,
        unfinished=None,
        hold=_held(memory, command, now),
        release=replace(
            release,
            phase=Phase.ROLLING_BACK,
            since=now,
            revision=to,
            template=_template_of(release, to, target),
            ready_since=None,
            rollback_result=RollbackResult.OPEN,
            lifted_rules=(),
            held_unmeasured=False,
            bake_started=None,
            unmeasured=None,
            paused=None,
            paused_rules=(),
            rollback_limit_reached=False,
            rolled_from=left,
            configuration=None,
            failing_from=_failing_from(memory, command, now),
        ),
    )


def _failing_from(memory: Memory, command: Command, now: float) -> float:
    """Return when the breach of the rolled-back release began: of one of its rules, or of its pods; else `now`."""
    since = [r.release_breach_since for name in command.rules if (r := memory.rules.get(name)) is not None]
    health = memory.release.health if memory.release is not None else None
    if health is not None:
        since.append(health.failing_since)
    return min([t for t in since if t is not None and t <= now], default=now)


def _template_of(release: ReleaseMemory, revision: str, target: TargetState) -> str:
    """Return the template that a rollback restored: the one that the decision chose."""
    if revision == release.good:
        return release.good_template
    known = next((s for s in reversed(release.served) if s.revision == revision), None)
    if known is not None:
        return known.template
    kept = target.find(revision)
    return kept.template if kept is not None else ""


def is_applied(command: Command, target: TargetState) -> bool:
    """Return whether the target shows the effect of a command. Used after a crash with a pending intent."""
    match command.verb:
        case Verb.SCALE_UP | Verb.SCALE_DOWN if command.via:
            return target.hpa is not None and target.hpa.min_replicas == command.to
        case Verb.SCALE_UP | Verb.SCALE_DOWN:
            return target.replicas == command.to
        case Verb.ADOPT_MINIMUM:
            return target.hpa is not None and target.hpa.original_min is None
        case Verb.PAUSE | Verb.FREEZE:
            return target.paused and target.paused_by == MANAGER
        case Verb.RESUME | Verb.UNFREEZE:
            return not target.paused
        case Verb.ROLLBACK:
            return _rollback_is_applied(command, target)
        case Verb.LIFT_HOLD:
            return not target.hold_marked
        case _:
            return False


def _rollback_is_applied(command: Command, target: TargetState) -> bool:
    """Return whether the target runs the restored revision, or ran it before another release.

    A controller renumbers a restored revision with the next number; before a rollback the failing one has the highest.
    """
    if target.revision in (command.from_, command.to):
        return target.revision == command.to and not target.paused
    left, restored = target.find(str(command.from_)), target.find(str(command.to))
    return left is not None and restored is not None and restored.number > left.number


def recover_intent(memory: Memory, target: TargetState) -> tuple[Memory, tuple[Outcome, ...]]:
    """Resolve a pending intent: commands whose effect the target shows count as done at the time of the intent.

    The others were not executed. Their timers are still in the memory, so the next evaluation decides them again.
    """
    intent = memory.intent
    if intent is None:
        return memory, ()
    memory = replace(memory, intent=None)
    interrupted = pending_rollback(replace(memory, intent=intent))
    if interrupted is not None and not is_applied(interrupted, target):
        memory = replace(memory, unfinished=interrupted)
    done = tuple(Outcome(c, Result.DONE) for c in intent.commands if is_applied(c, target))
    return apply_outcomes(memory, done, target, intent.at), done
