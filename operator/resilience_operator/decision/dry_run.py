"""The dry-run overlay: the target as it would be if the commands of a dry run had been executed.

A dry run makes the same decisions as a live policy. The overlay keeps their simulated changes until the real object
changes. So a pause is not decided again at every interval, and a rollback is followed by its recovery. The overlay is
dropped when the policy leaves dry run.
"""

from __future__ import annotations

from resilience_operator.decision.model.commands import Command, Verb
from resilience_operator.decision.model.memory import DryRunOverlay, Memory, Phase, ReleaseMemory
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import MANAGER, TargetState


def apply_overlay(target: TargetState, overlay: DryRunOverlay | None) -> TargetState:
    """Return `target` with the overlay applied; the same object if there is none."""
    if overlay is None:
        return target
    if overlay.replicas is not None:
        target = _with_replicas(target, overlay.replicas)
    if overlay.minimum is not None and target.hpa is not None:
        target = replace(target, hpa=replace(target.hpa, min_replicas=overlay.minimum))
        if target.replicas < overlay.minimum:
            target = _with_replicas(target, overlay.minimum)
    if overlay.paused is not None:
        target = replace(target, paused=overlay.paused, paused_by=MANAGER if overlay.paused else "")
    if overlay.revision is not None:
        target = replace(target, revision=overlay.revision, rolled_out=True, progress_deadline_exceeded=False)
    return target


def _with_replicas(target: TargetState, replicas: int) -> TargetState:
    """Return the target with `replicas` pods; added or removed pods count as ready."""
    return replace(target, replicas=replicas, ready=max(0, target.ready + replicas - target.replicas))


def prune(overlay: DryRunOverlay | None, target: TargetState) -> DryRunOverlay | None:
    """Return the overlay without the parts that a real change has ended."""
    if overlay is None:
        return None
    if overlay.replicas is not None and target.replicas != overlay.real_replicas:
        overlay = replace(overlay, replicas=None, real_replicas=None)
    if overlay.minimum is not None and (target.hpa is None or target.hpa.min_replicas != overlay.real_minimum):
        overlay = replace(overlay, minimum=None, real_minimum=None)
    if overlay.real_revision is not None and target.revision not in (None, overlay.real_revision):
        overlay = replace(overlay, paused=None, revision=None, real_revision=None)
    if overlay.paused is False and not target.paused:
        overlay = replace(overlay, paused=None)
    return _unless_empty(overlay)


def add_command(overlay: DryRunOverlay | None, command: Command, target: TargetState) -> DryRunOverlay | None:
    """Return the overlay after one more command. `target` is the real one, without the overlay."""
    overlay = overlay or DryRunOverlay()
    match command.verb:
        case Verb.SCALE_UP | Verb.SCALE_DOWN if command.via:
            real = target.hpa.min_replicas if target.hpa is not None else None
            minimum = None if command.to == real else _as_int(command.to)
            overlay = replace(overlay, minimum=minimum, real_minimum=None if minimum is None else real)
        case Verb.SCALE_UP | Verb.SCALE_DOWN:
            replicas = None if command.to == target.replicas else _as_int(command.to)
            real = None if replicas is None else target.replicas
            overlay = replace(overlay, replicas=replicas, real_replicas=real)
        case Verb.PAUSE:
            overlay = replace(overlay, paused=True, real_revision=target.revision)
        case Verb.RESUME | Verb.UNFREEZE:
            paused = False if target.paused else None
            over = paused is None and overlay.revision is None
            overlay = replace(overlay, paused=paused, real_revision=None if over else target.revision)
        case Verb.ROLLBACK:
            paused = False if target.paused else None
            overlay = replace(overlay, paused=paused, revision=str(command.to), real_revision=target.revision)
        case _:
            pass
    return _unless_empty(overlay)


def leave_dry_run(memory: Memory, target: TargetState, now: float) -> Memory:
    """Return the memory of a policy that leaves dry run, without simulated changes.

    A release that was paused or rolled back in the dry run is still running. It is analysed again from the start, so
    it is neither marked as good nor rolled back because of the dry run.
    """
    if memory.overlay is None and not any(q.dry_run for q in memory.quarantined):
        return memory
    overlay, release, scaling = memory.overlay or DryRunOverlay(), memory.release, memory.scaling
    if overlay.replicas is not None:
        scaling = replace(scaling, last_replicas=overlay.real_replicas)
    if release is not None and (overlay.paused is not None or overlay.revision is not None):
        release = ReleaseMemory(
            Phase.PROGRESSING,
            now,
            target.revision,
            good=release.good,
            good_template=release.good_template,
            ok_before=release.ok_before,
            baseline=release.baseline,
            served=release.served,
        )
    return replace(
        memory,
        overlay=None,
        quarantined=tuple(q for q in memory.quarantined if not q.dry_run),
        scaling=scaling,
        release=release,
    )


def _unless_empty(overlay: DryRunOverlay) -> DryRunOverlay | None:
    nothing = (
        overlay.replicas is None and overlay.minimum is None and overlay.paused is None and overlay.revision is None
    )
    return None if nothing else overlay


def _as_int(value: int | str | None) -> int:
    assert isinstance(value, int)
    return value
