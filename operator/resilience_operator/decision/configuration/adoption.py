"""Adapts a memory when a policy begins or ends to include configuration: the names of revisions change."""

from __future__ import annotations

from resilience_operator.decision.configuration.names import SEPARATOR, template_of
from resilience_operator.decision.model.memory import Memory, Phase, ReleaseMemory
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import TargetState


def adapt(memory: Memory, target: TargetState, now: float) -> Memory:
    """Return the memory with the names that the target has; the same object if they fit."""
    release = memory.release
    if release is None or release.revision is None:
        return memory
    if target.configuration is None:
        return _without_configuration(memory, release) if SEPARATOR in release.revision else memory
    if SEPARATOR in release.revision or template_of(target.revision) != release.revision:
        return memory
    return replace(memory, release=_adopted(release, str(target.revision), now))


def _adopted(release: ReleaseMemory, revision: str, now: float) -> ReleaseMemory:
    """Return the release with what its template reads now. A stable one begins a bake: nobody has watched that pair.

    The good revision keeps its name without content: what it read then is not known.
    """
    if release.phase is not Phase.STABLE:
        return replace(release, revision=revision)
    return replace(
        release,
        phase=Phase.BAKING,
        since=now,
        revision=revision,
        bake_started=now,
        observed_at=now,
        unmeasured=None,
        ready_since=None,
        ok_before=(),
        baseline={},
        canary_measured_since=None,
        shared_breaches=(),
    )


def _without_configuration(memory: Memory, release: ReleaseMemory) -> Memory:
    """Return the memory by templates. What counted against a content alone does not count against its template."""
    innocent = {template_of(s.revision) for s in release.served} | {template_of(release.good)}
    served = {template_of(s.revision): replace(s, revision=template_of(s.revision)) for s in release.served}

    def by_template(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(n for n in map(template_of, names) if n not in innocent))

    quarantined = {
        template_of(q.revision): replace(q, revision=template_of(q.revision))
        for q in memory.quarantined
        if template_of(q.revision) not in innocent
    }
    return replace(
        memory,
        unfinished=None,
        request=None,
        quarantined=tuple(quarantined.values()),
        release=replace(
            release,
            revision=template_of(release.revision),
            good=None if release.good is None else template_of(release.good),
            rolled_from=None if release.rolled_from is None else template_of(release.rolled_from),
            unproven=by_template(release.unproven),
            charged=by_template(release.charged),
            served=tuple(served.values()),
            configuration=None,
            kept_content="",
        ),
    )
