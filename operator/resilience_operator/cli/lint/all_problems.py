"""Finds all errors of a policy at once.

The model checks fields that depend on each other only after each field is valid. So invalid parts are replaced by valid
ones until the spec can be read, and then the checks across fields run on what is left.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import ValidationError

from resilience_operator.api.checks import Check
from resilience_operator.api.invalid import InvalidPolicy, Problem, invalid_policy
from resilience_operator.api.spec import PolicySpec
from resilience_operator.api.v1alpha1 import parse_policy
from resilience_operator.cli.lint.thresholds import located_conditions
from resilience_operator.decision.model.compile import signals_of

_PART = re.compile(r"[^.\[\]]+|\[\d+\]")
_MOST_ROUNDS = 20

_CONDITION = {"signal": "zone-lost", "above": 1}
_VALID: dict[str, Any] = {
    "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "lint"},
    "replicas": {"min": 0, "max": 100_000},
    "min": 0,
    "max": 100_000,
    "rules": [],
    "when": _CONDITION,
    "then": [{"alert": {}}],
    "signal": "zone-lost",
    "above": 1,
    "below": 1,
    "query": "up",
    "samplesQuery": "up",
}
"""Valid values of fields that are required, or that others are checked against. Any other invalid field is removed."""
_VALID_ENTRY: dict[str, Any] = {"all": _CONDITION, "any": _CONDITION, "then": {"alert": {}}}
"""Valid entries, by their list. An entry is replaced and not removed, so that the numbers of the others stay."""


class _Fields(PolicySpec):
    """A spec whose fields are valid, each for itself."""

    checks: ClassVar[tuple[Check, ...]] = ()


def all_problems(document: dict[str, Any]) -> tuple[list[Problem], PolicySpec | None]:
    """The errors, and the spec with invalid fields replaced; None if it cannot be read."""
    try:
        return [], parse_policy(document).spec
    except InvalidPolicy as error:
        found = dict.fromkeys(error.problems)
    content = {"spec": copy.deepcopy(document.get("spec"))}
    replaced: list[tuple[str, ...]] = []
    for _ in range(_MOST_ROUNDS):
        try:
            spec = _Fields.model_validate(content["spec"])
        except ValidationError as error:
            problems = [Problem(f"spec.{p.path}".rstrip("."), p.message) for p in invalid_policy(error).problems]
            found |= dict.fromkeys(p for p in problems if not _follows(p, replaced))
            if not [problem for problem in problems if _repair(content, _parts(problem.path), replaced)]:
                break
        else:
            return [*(p for p in found if p not in set(_across(spec))), *_located(spec, replaced)], spec
    return list(found), None


def _across(spec: PolicySpec) -> Iterator[Problem]:
    """Errors of the spec's checks across its fields."""
    for check in PolicySpec.checks:
        if not check.holds(spec):
            yield Problem(f"spec.{check.field}".rstrip("."), check.message_for(spec))


def _located(spec: PolicySpec, replaced: list[tuple[str, ...]]) -> Iterator[Problem]:
    """The same with the rule or signal that is meant, without consequences of replaced parts."""
    for problem in _across(spec):
        kind, message = problem.path.removeprefix("spec."), problem.message
        if message.startswith("unknown signal"):
            if not any(part[:2] == ("spec", "signals") and len(part) <= 3 for part in replaced):
                known = {signal.name for signal in signals_of(spec)}
                for path, signal in _signals_in_rules(spec):
                    if signal not in known:
                        yield Problem(path, f"unknown signal {signal}{message[message.index(':') :]}")
        elif " have the same name" in message or " are named " in message:
            named = [one.name for one in (spec.rules if kind == "rules" else spec.signals)]
            for number, name in enumerate(named):
                if name in named[:number]:
                    yield Problem(f"{problem.path}[{number}].name", f"two {kind} are named {name}: rename one")
        elif not (kind == "rules" and ("spec", "rules") in replaced) and not _lacks_misspelled(message, replaced):
            yield problem


def _lacks_misspelled(message: str, replaced: list[tuple[str, ...]]) -> bool:
    """Whether `max` is missing, perhaps because its name is misspelled."""
    return "spec.replicas.max is required" in message and any(
        part[:2] == ("spec", "replicas") and part[-1] not in ("min", "max") for part in replaced
    )


def _signals_in_rules(spec: PolicySpec) -> Iterator[tuple[str, str]]:
    for number, rule in enumerate(spec.rules):
        for path, condition in located_conditions(number, rule):
            yield f"{path}.signal", condition.signal


def is_replaced(path: str, problems: list[Problem]) -> bool:
    """Whether a path is at or below an error, so that the value there may not be the author's."""
    parts = _parts(path)
    return any(len(p) > 2 and parts[: len(p)] == p for p in (_parts(problem.path) for problem in problems))


def _parts(path: str) -> tuple[str, ...]:
    return tuple(_PART.findall(path))


def _follows(problem: Problem, replaced: list[tuple[str, ...]]) -> bool:
    """Whether a problem may only be a consequence of a replaced part, at it or above it."""
    parts = _parts(problem.path)
    return len(parts) > 1 and any(part[: len(parts)] == parts for part in replaced)


def _repair(content: Any, parts: tuple[str, ...], replaced: list[tuple[str, ...]]) -> bool:
    """Replace or remove the part of `content` that a problem names; else the part above. Returns whether it could."""
    if len(parts) < 2:
        return False
    parent, last = _at(content, parts[:-1]), parts[-1]
    if isinstance(parent, dict) and last in _VALID and parent.get(last) != _VALID[last]:
        parent[last] = copy.deepcopy(_VALID[last])
    elif isinstance(parent, dict) and last in parent and last not in _VALID:
        del parent[last]
    elif not (isinstance(parent, list) and last.startswith("[") and _replace_entry(parent, parts, len(replaced))):
        return _repair(content, parts[:-1], replaced)  # it is missing, or it is valid and its parent is not
    replaced.append(parts)
    return True


def _replace_entry(entries: list[Any], parts: tuple[str, ...], number: int) -> bool:
    index, name = int(parts[-1][1:-1]), parts[-2]
    if name == "rules":
        valid = {"name": f"lint-{number}", "when": _CONDITION, "then": [{"alert": {}}]}
    elif name == "signals":
        valid = {"name": f"lint-{number}", "query": "up"}
    else:
        valid = _VALID_ENTRY.get(name, {})
    if not valid or index >= len(entries) or entries[index] == valid:
        return False
    entries[index] = copy.deepcopy(valid)
    return True


def _at(content: Any, parts: tuple[str, ...]) -> Any:
    for part in parts:
        if part.startswith("["):
            index = int(part[1:-1])
            content = content[index] if isinstance(content, list) and index < len(content) else None
        else:
            content = content.get(part) if isinstance(content, dict) else None
    return content
