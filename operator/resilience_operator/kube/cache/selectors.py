"""Label selectors, as in `spec.selector` of a workload.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


def label_text(labels: Mapping[str, Any], without: Iterable[str] = ()) -> str:
    """Labels as one interned string, `,key=value,key=value,`, that many objects can share.

    Neither a label's key nor its value can contain `,` or `=`. without: keys to leave out.
    """
    left_out = frozenset(without)
    pairs = (f"{key}={value}," for key, value in sorted(labels.items()) if key not in left_out)
    return sys.intern("," + "".join(pairs))


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector.

    equal: `,key=value,` for each of `matchLabels`. expressions: `matchExpressions` as (key, operator, values).
    """

    equal: tuple[str, ...] = ()
    expressions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    def matches(self, labels: str) -> bool:
        """Whether labels (in the form of `label_text`) meet each requirement. An empty selector matches nothing."""
        if not (self.equal or self.expressions):
            return False
        if not all(one in labels for one in self.equal):
            return False
        return all(_holds(key, operator, values, labels) for key, operator, values in self.expressions)


NOTHING = Selector()
"""Matches no labels."""


def selector_of(spec: Mapping[str, Any]) -> Selector:
    """The selector of a workload's `spec`; `NOTHING` if it has none."""
    selector = spec.get("selector")
    if not isinstance(selector, Mapping):
        return NOTHING
    return Selector(
        tuple(f",{key}={value}," for key, value in (selector.get("matchLabels") or {}).items()),
        tuple(
            (str(one.get("key")), str(one.get("operator")), tuple(map(str, one.get("values") or ())))
            for one in selector.get("matchExpressions") or ()
        ),
    )


def _holds(key: str, operator: str, values: tuple[str, ...], labels: str) -> bool:
    match operator:
        case "In":
            return any(f",{key}={value}," in labels for value in values)
        case "NotIn":  # as in Kubernetes, also when the label is missing
            return not any(f",{key}={value}," in labels for value in values)
        case "Exists":
            return f",{key}=" in labels
        case "DoesNotExist":
            return f",{key}=" not in labels
        case _:
            return False
