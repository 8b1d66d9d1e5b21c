"""The result of converting one document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from resilience_operator.api.v1alpha1 import KIND, InvalidPolicy, parse_policy
from resilience_operator.cli.convert.builder import Json
from resilience_operator.cli.convert.reader import ConversionNote


@dataclass(slots=True)
class Converted:
    """The result for one document. source: its kind and name. policy: None if it was not converted.

    used: its content is in the policy of another document.
    """

    source: str
    policy: Json | None = None
    notes: list[ConversionNote] = field(default_factory=list)
    used: bool = False

    @property
    def whole(self) -> bool:
        """Whether everything was converted."""
        return (self.policy is not None or self.used) and not any(remark.lost for remark in self.notes)


def place_of(document: Mapping[str, Any]) -> tuple[str, str]:
    """Namespace and name of an object; empty if it has none."""
    metadata = document.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")


def kept_metadata(metadata: Mapping[str, Any]) -> Json:
    """The metadata that a policy takes over."""
    return {key: metadata[key] for key in ("name", "namespace", "labels") if metadata.get(key)}


def checked(found: Converted, policy: Json, notes: Iterable[str]) -> Converted:
    """Add the policy, if it is valid. notes: on every valid one."""
    if not policy["spec"]["rules"]:
        found.notes.append(ConversionNote("", f"nothing in it can be converted, so there is no {KIND}", lost=True))
        return found
    missing = [key for key in ("apiVersion", "kind", "name") if not policy["spec"]["targetRef"].get(key)]
    if missing:
        text = f"the {' and the '.join(missing)} of its target is missing: add it to the reference"
        found.notes.append(ConversionNote("", text, lost=True))
        return found
    try:
        parse_policy(policy)
    except InvalidPolicy as error:
        found.notes.append(ConversionNote("", f"the resulting policy would be rejected: {error}", lost=True))
        return found
    found.policy = policy
    found.notes += [ConversionNote("", text) for text in notes]
    return found
