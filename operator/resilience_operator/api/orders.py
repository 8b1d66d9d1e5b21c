"""Orders that people give with annotations of a policy: a freeze, an answer to a rollback, the end of a quarantine.

resilience-operator.io/freeze-until: "2026-12-27T08:00:00Z"     # no new release before then
resilience-operator.io/rollback-answer: "approve"               # or "deny"; set by `kubectl resilience approve`
resilience-operator.io/rollback-request: "5d4f8c7b9@1700000000" # the request that is answered
resilience-operator.io/rollback-answered-by: "ann@example.org"  # recorded in the history

Those that end quarantines are in `lifts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from .lifts import RELEASED, Lift, read_lifts
from .pause import short_text, to_moment

FREEZE_UNTIL = "resilience-operator.io/freeze-until"
ANSWER = "resilience-operator.io/rollback-answer"
REQUEST = "resilience-operator.io/rollback-request"
ANSWERED_BY = "resilience-operator.io/rollback-answered-by"

Verdict = Literal["approve", "deny"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A person's answer to the request with that id. by: who answered, as far as is known."""

    request: str
    verdict: Verdict
    by: str = ""


@dataclass(frozen=True, slots=True)
class Orders:
    """The orders in the annotations of a policy.

    freeze_until: seconds since the epoch, or None. freeze_problem: why the time cannot be parsed; such a freeze does
    not expire. lifts: of quarantines. lift_problem: what is wrong with them, or empty.
    """

    freeze_until: float | None = None
    freeze_problem: str = ""
    answer: Answer | None = None
    lifts: tuple[Lift, ...] = ()
    lift_problem: str = ""

    @property
    def freezes(self) -> bool:
        """Whether there is a freeze, which may be over."""
        return self.freeze_until is not None or bool(self.freeze_problem)


NO_ORDERS = Orders()

_KEYS = frozenset((FREEZE_UNTIL, ANSWER, RELEASED))
"""The annotations without which there are no orders."""


def read_orders(annotations: Mapping[str, object] | None) -> Orders:
    """Return the orders in a policy's annotations. `NO_ORDERS`, the same object, if there are none."""
    if not annotations or _KEYS.isdisjoint(annotations):
        return NO_ORDERS
    until, problem = None, ""
    if FREEZE_UNTIL in annotations:
        until, problem = to_moment(annotations[FREEZE_UNTIL], FREEZE_UNTIL)
    return Orders(until, problem, _answer(annotations), *read_lifts(annotations))


def _answer(annotations: Mapping[str, object]) -> Answer | None:
    verdict, request = str(annotations.get(ANSWER, "")), str(annotations.get(REQUEST, ""))
    if verdict not in ("approve", "deny") or not request:
        return None
    return Answer(request, cast(Verdict, verdict), short_text(annotations.get(ANSWERED_BY)))
