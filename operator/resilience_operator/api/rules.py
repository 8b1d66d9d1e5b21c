"""Rules: conditions and the actions to take."""

from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictBool, StrictInt

from .arguments import ARGUMENTS_LIMIT, Argument, arguments_schema
from .base import SpecModel
from .checks import Check, sentence
from .fields import Duration, Name, PercentField, ThresholdField

CONDITIONS_LIMIT = 16
"""Maximum conditions in one `all` or `any`."""

ACTIONS_LIMIT = 16
"""Maximum entries of one `then`."""

DEFAULT_WORSE_BY = 0.2
"""By how much a new revision must be worse than its baseline, as a ratio."""

_BOUNDS = ("above", "below", "worseThan")
_ONE_BOUND = "a condition needs exactly one of above, below and worseThan: keep one of them"
_BOUND_OF_ONE = "not allowed here: keep exactly one of above, below and worseThan"
_BOUND_OF_MANY = (
    "not allowed here: put above, below and worseThan next to a signal, or inside the entries of all and any"
)

_EITHER_BOUND = tuple(
    {"required": [one], "properties": {other: sentence(_BOUND_OF_ONE) for other in _BOUNDS if other != one}}
    for one in _BOUNDS
)
_NEITHER_BOUND = {"properties": {bound: sentence(_BOUND_OF_MANY) for bound in _BOUNDS}}
_SOME_BOUND = {"anyOf": [{"required": [bound]} for bound in _BOUNDS]}

_SIGNAL = "Name of the signal: cpu, latency-p99, error-rate or zone-lost, which are built in, or one of spec.signals."
_ABOVE = (
    "True while the signal is above this: a ratio like 70% or 0.7, or a duration like 800ms or 1s. Set exactly "
    "one of above, below and worseThan."
)
_BELOW = (
    "True while the signal is below this: a ratio like 99% or 0.99, or a duration like 800ms or 1s. Set exactly "
    "one of above, below and worseThan."
)
_WORSE_THAN = (
    "baseline: true if a release makes the signal worse than its baseline, the old pods beside it or the last good "
    "state, by more than by. For latency, the error rate and CPU per request. Set exactly one of above, below and "
    "worseThan."
)
_BY = "By how much the new revision must be worse than its baseline, like 20% (default). Only with worseThan."
_FOR = "How long the condition must be true without interruption before it is a breach, like 2m. Default 0s: at once."


def _given_bounds(condition: Any) -> int:
    """How many of above, below and worseThan are set."""
    return sum(bound is not None for bound in (condition.above, condition.below, condition.worse_than))


_BY_NEEDS_WORSE_THAN = Check(
    message="by belongs to worseThan: add worseThan: baseline, or remove by",
    holds=lambda condition: condition.by is None or condition.worse_than is not None,
    cel="!has(self.by) || has(self.worseThan)",
    field="by",
)


class Condition(SpecModel):
    """A signal compared with a threshold, or with the baseline of a release."""

    signal: Name = Field(description=_SIGNAL)
    above: ThresholdField | None = Field(default=None, description=_ABOVE)
    below: ThresholdField | None = Field(default=None, description=_BELOW)
    worse_than: Literal["baseline"] | None = Field(default=None, description=_WORSE_THAN)
    by: PercentField | None = Field(default=None, description=_BY)
    for_: Duration = Field(default=0.0, validation_alias="for", serialization_alias="for", description=_FOR)

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message=_ONE_BOUND,
            holds=lambda condition: _given_bounds(condition) == 1,
            schema={"anyOf": [*_EITHER_BOUND]},
        ),
        _BY_NEEDS_WORSE_THAN,
    )


class When(SpecModel):
    """One condition, or several of which all or any must be true."""

    signal: Name | None = Field(default=None, description=_SIGNAL)
    above: ThresholdField | None = Field(default=None, description=_ABOVE)
    below: ThresholdField | None = Field(default=None, description=_BELOW)
    worse_than: Literal["baseline"] | None = Field(default=None, description=_WORSE_THAN)
    by: PercentField | None = Field(default=None, description=_BY)
    for_: Duration | None = Field(default=None, validation_alias="for", serialization_alias="for", description=_FOR)
    all: Annotated[tuple[Condition, ...], Field(max_length=CONDITIONS_LIMIT)] | None = Field(
        default=None, description="Conditions that must all be true, each for its own time. Instead of signal."
    )
    any: Annotated[tuple[Condition, ...], Field(max_length=CONDITIONS_LIMIT)] | None = Field(
        default=None, description="Conditions of which at least one must be true. Instead of signal."
    )

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="when needs exactly one of signal, all and any: keep one of them",
            holds=lambda when: [when.signal, when.all, when.any].count(None) == 2,
            cel="[has(self.signal), has(self.all), has(self.any)].filter(given, given).size() == 1",
        ),
        Check(
            message="all and any need at least one condition, like {signal: cpu, above: 70%}",
            holds=lambda when: when.all != () and when.any != (),
            cel="(!has(self.all) || self.all.size() > 0) && (!has(self.any) || self.any.size() > 0)",
        ),
        Check(
            message="for belongs inside the entries of all and any: move it there",
            holds=lambda when: when.for_ is None or (when.all is None and when.any is None),
            cel="!has(self.__for__) || (!has(self.all) && !has(self.any))",
            field="for",
        ),
        Check(
            message=_ONE_BOUND,
            holds=lambda when: when.signal is None or _given_bounds(when) == 1,
            schema={"anyOf": [*_EITHER_BOUND, {"required": ["all"]}, {"required": ["any"]}]},
        ),
        Check(
            message="put above, below and worseThan next to a signal, or inside the entries of all and any",
            holds=lambda when: when.signal is not None or _given_bounds(when) == 0,
            schema={"oneOf": [_NEITHER_BOUND, {"required": ["signal"], **_SOME_BOUND}]},
        ),
        _BY_NEEDS_WORSE_THAN,
    )

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """Its conditions, one or several, in their order."""
        if self.all is not None or self.any is not None:
            return self.all or self.any or ()
        assert self.signal is not None, "checked above"
        return (
            Condition.model_construct(
                signal=self.signal,
                above=self.above,
                below=self.below,
                worse_than=self.worse_than,
                by=self.by,
                for_=self.for_ or 0.0,
            ),
        )


class ScaleUp(SpecModel):
    """Scale up, never above replicas.max. Repeated after each cooldown while the breach lasts."""

    pods: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="Number of pods to add, like 2."
    )
    percent: Annotated[StrictInt, Field(ge=1, le=1000)] | None = Field(
        default=None,
        description="Percentage of the current replicas to add, rounded up to whole pods, like 50.",
    )
    to_target: StrictBool | None = Field(
        default=None,
        description=(
            "true: scale so that the signal returns to its threshold: replicas × value / threshold, rounded up. "
            "Without `for`, on a signal that is proportional to the load: scale ahead, to the load that is forecast "
            "for the time when new pods are ready. "
            "Needs a rule with a single signal and above. On zone-lost: scale so that the remaining zones carry "
            "the load: replicas × zones / remaining zones, rounded up."
        ),
    )
    cooldown: Duration = Field(
        default=60.0,
        description=(
            "Minimum time between two scale-ups of this rule, like 1m (default; 15s for a rule that scales ahead)."
        ),
    )

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="scaleUp needs exactly one of pods, percent and toTarget: keep one, like {pods: 2}",
            holds=lambda scale: [scale.pods, scale.percent, scale.to_target].count(None) == 2,
            cel="[has(self.pods), has(self.percent), has(self.toTarget)].filter(given, given).size() == 1",
        ),
        Check(
            message="toTarget can only be true: set toTarget: true, or use pods or percent instead",
            holds=lambda scale: scale.to_target is not False,
            cel="!has(self.toTarget) || self.toTarget",
            field="toTarget",
        ),
    )


class Alert(SpecModel):
    """Alert: a Warning event on the policy and its target, and notifications. Changes nothing. Written as {}."""


class PauseRollout(SpecModel):
    """Pause a release that is in progress or in its bake. Written as {}."""


class Approval(SpecModel):
    """Ask a person before a rollback."""

    within: Duration = Field(
        default=300.0, description="How long to wait for an answer, like 5m (default). It counts from the request."
    )
    otherwise: Literal["Act", "Hold"] = Field(
        default="Act",
        description=(
            "What to do without an answer. Act (default): roll back. Hold: do not roll back until somebody approves."
        ),
    )


class Rollback(SpecModel):
    """Restore the last good revision while a release is in progress, paused or in its bake."""

    after: Duration = Field(default=30.0, description="Time from the breach to the rollback, like 30s (default).")
    limit: Annotated[StrictInt, Field(ge=1, le=100)] = Field(
        default=1,
        description=(
            "How often a revision is rolled back again if something reapplies it. After that, the release is "
            "held paused and an alert is sent. Default 1."
        ),
    )
    max_revisions: Annotated[StrictInt, Field(ge=1, le=100)] | None = Field(
        default=None,
        description=(
            "How many revisions a rollback may go back, like 3. If the newest revision that may be restored is older, "
            "nothing is rolled back, and a Warning says so. Default: any number."
        ),
    )
    approval: Approval | None = Field(
        default=None,
        description=(
            "Ask a person first, like {within: 5m, otherwise: Act}. A Warning and the notifiers carry the commands: "
            "kubectl resilience approve and deny. Default: roll back without asking."
        ),
    )


class Plugin(SpecModel):
    """An action of an installed plugin."""

    name: Name = Field(description="Name of the installed action plugin.")
    with_: dict[str, Argument] = Field(
        default_factory=dict,
        max_length=ARGUMENTS_LIMIT,
        validation_alias="with",
        serialization_alias="with",
        description=(
            "Arguments, as described in the plugin's documentation. A value is text of up to 4096 characters, a "
            "number, true or false, or a list or map of up to 64 of these."
        ),
        json_schema_extra=arguments_schema,
    )


Verb = Literal["scaleUp", "alert", "pauseRollout", "rollback", "plugin"]
VERBS: tuple[Verb, ...] = ("scaleUp", "alert", "pauseRollout", "rollback", "plugin")


class Action(SpecModel):
    """One action, with exactly one key."""

    scale_up: ScaleUp | None = Field(
        default=None,
        description="Scale up, never above replicas.max. Example: {pods: 2}, {percent: 50} or {toTarget: true}.",
    )
    alert: Alert | None = Field(
        default=None,
        description="Alert: a Warning event on the policy and its target, and notifications. Written as alert: {}.",
    )
    pause_rollout: PauseRollout | None = Field(
        default=None,
        description="Pause a release that is in progress or in its bake. Written as pauseRollout: {}.",
    )
    rollback: Rollback | None = Field(
        default=None,
        description=(
            "Restore the last good revision while a release is in progress, paused or in its bake. Example: "
            "{after: 30s}."
        ),
    )
    plugin: Plugin | None = Field(
        default=None, description="Run an installed action plugin. Example: {name: page, with: {team: shop}}."
    )

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message=f"an entry of then needs exactly one key, one of {', '.join(VERBS)}: split or complete it",
            holds=lambda action: len(action.given) == 1,
            cel=f"[{', '.join(f'has(self.{verb})' for verb in VERBS)}].filter(given, given).size() == 1",
        ),
    )

    @property
    def given(self) -> tuple[SpecModel, ...]:
        """The keys that are set; exactly one in a valid action."""
        choices = (self.scale_up, self.alert, self.pause_rollout, self.rollback, self.plugin)
        return tuple(choice for choice in choices if choice is not None)


def _target_has_threshold(rule: Any) -> bool:
    wants = any(action.scale_up and action.scale_up.to_target for action in rule.then)
    return not wants or (rule.when.signal is not None and rule.when.above is not None)


def _compares(rule: Any) -> bool:
    return any(condition.worse_than is not None for condition in rule.when.conditions)


def _used(rule: Any, field: str) -> bool:
    return any(getattr(action, field) is not None for action in rule.then)


_CEL_COMPARES = (
    "(has(self.when.worseThan) || (has(self.when.all) && self.when.all.exists(each, has(each.worseThan)))"
    " || (has(self.when.any) && self.when.any.exists(each, has(each.worseThan))))"
)
_NO_TO_TARGET = {
    "properties": {
        "then": {
            "items": {
                "properties": {
                    "scaleUp": {
                        "properties": {
                            "toTarget": sentence(
                                "not allowed here: toTarget needs a rule with a single signal and above; use "
                                "pods or percent"
                            )
                        }
                    }
                }
            }
        }
    }
}


class Rule(SpecModel):
    """Actions to take when conditions are true."""

    name: Name = Field(
        description="Name of the rule in events, status and history, like cpu-saturation. Unique within the policy."
    )
    when: When = Field(
        description="When to act: one condition, like {signal: cpu, above: 70%, for: 2m}, or all or any of several."
    )
    then: Annotated[tuple[Action, ...], Field(max_length=ACTIONS_LIMIT)] = Field(
        description="Actions, each with one key, like [{alert: {}}, {scaleUp: {pods: 2}}]."
    )

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="then is empty: add an action, like {scaleUp: {pods: 2}} or {alert: {}}",
            holds=lambda rule: len(rule.then) > 0,
            cel="self.then.size() > 0",
            field="then",
        ),
        Check(
            message="worseThan compares a release with its baseline: add pauseRollout or rollback to then",
            holds=lambda rule: not _compares(rule) or _used(rule, "pause_rollout") or _used(rule, "rollback"),
            cel=f"!{_CEL_COMPARES} || self.then.exists(action, has(action.pauseRollout) || has(action.rollback))",
            field="then",
        ),
        Check(
            message="worseThan compares a release with its baseline, and more pods do not mend it: remove scaleUp, or "
            "move it to another rule",
            holds=lambda rule: not _compares(rule) or not _used(rule, "scale_up"),
            cel=f"!{_CEL_COMPARES} || !self.then.exists(action, has(action.scaleUp))",
            field="then",
        ),
        Check(
            message=(
                "toTarget needs a threshold to return to: give the rule a single signal with above, or use pods "
                "or percent"
            ),
            holds=_target_has_threshold,
            schema={
                "anyOf": [
                    _NO_TO_TARGET,
                    {"properties": {"when": {"required": ["signal", "above"]}}},
                ]
            },
        ),
    )
