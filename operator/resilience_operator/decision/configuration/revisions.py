"""Names the revisions of a target by template and content, so that a pair of both is judged and restored as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from resilience_operator.decision.configuration.content import NOTHING
from resilience_operator.decision.configuration.names import SEPARATOR, content_of, revision_with, template_of
from resilience_operator.decision.model.commands import Command, Verb
from resilience_operator.decision.model.configuration import Configuration
from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import Revision, TargetState


def with_configuration(target: TargetState, configuration: Configuration, memory: Memory) -> TargetState:
    """Return the target with revisions named by `TEMPLATE+CONTENT`.

    The current template has the content that it reads now. Another one has the content with which it is remembered. A
    template that is remembered with several contents is listed once for each; all but one of them have no pods.
    """
    current = target.find(target.revision)
    now = current_name(current, configuration, memory) if current is not None else None
    known = tuple(dict.fromkeys(_remembered(memory)))
    found: dict[str, Revision] = {}
    for revision in target.revisions:
        names = [n for n in known if n != now and template_of(n) == _template_name(revision)]
        if revision is current and now is not None:
            first, others = now, names
        else:
            first, *others = names or [revision.name]
        for name in others:
            found[name] = replace(_named(revision, name), replicas=0, ready=0)
        if first not in found or revision.replicas or not found[first].replicas:
            found.pop(first, None)  # to keep the order
            found[first] = _named(revision, first)
    return replace(target, revision=now, revisions=tuple(found.values()), configuration=configuration)


def current_name(current: Revision, configuration: Configuration, memory: Memory) -> str:
    """Return the name of the current revision.

    During a rollback that is not complete, this is the revision that is rolled back, although some of its objects are
    restored already.
    """
    name = _template_name(current)
    pending = pending_rollback(memory)
    if pending is not None and name == template_of(str(pending.from_)) and not _is_restarted(current, pending):
        before, after = objects_in(pending, "from"), objects_in(pending, "to")
        if all(digest in (before.get(key), after.get(key)) for key, digest in configuration.objects.items()):
            return str(pending.from_)
    return revision_with(name, configuration.digest)


def pending_rollback(memory: Memory) -> Command | None:
    """Return the rollback with configuration that was begun and is not known to be complete."""
    if memory.unfinished is not None:
        return memory.unfinished
    if memory.intent is None:
        return None
    return next((c for c in memory.intent.commands if c.verb is Verb.ROLLBACK and "content" in c.arguments), None)


def objects_in(command: Command, field: str) -> Mapping[str, str]:
    """Return the digests of objects in the arguments of a rollback."""
    found: Any = command.arguments.get(field)
    return found if isinstance(found, Mapping) else {}


def is_known(target: TargetState, revision: str) -> bool:
    """Return whether the content of a revision can be restored, or is what is read now."""
    configuration = target.configuration
    if configuration is None:
        return True
    content = content_of(revision)
    return content in (configuration.digest, NOTHING) or content in configuration.kept


def _template_name(revision: Revision) -> str:
    return revision.restored.revision if revision.restored is not None else revision.name


def _named(revision: Revision, name: str) -> Revision:
    template = revision.restored.template if revision.restored is not None else revision.template
    return replace(revision, name=name, template=template)


def _is_restarted(current: Revision, rollback: Command) -> bool:
    return current.restored is not None and current.restored.at == rollback.arguments.get("at")


def _remembered(memory: Memory) -> Iterator[str]:
    """Yield the names with content in the memory: first those that pods may still run."""
    release = memory.release
    names: list[str | None] = []
    if release is not None:
        names += [release.revision, release.rolled_from, *reversed(release.unproven), *reversed(release.charged)]
        names += [*(s.revision for s in reversed(release.served)), release.good]
    names += [q.revision for q in reversed(memory.quarantined)]
    yield from (name for name in names if name is not None and SEPARATOR in name)
