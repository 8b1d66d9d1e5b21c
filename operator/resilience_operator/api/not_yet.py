"""What the schema already knows and the operator does not do yet.

Whoever writes such a field is told so on apply, in place of being ignored. Each entry is a check on the whole
spec; delete it, and its cases in the tests, with the change that makes the field act.
"""

from .checks import Check

NOT_YET: tuple[Check, ...] = (
    Check(
        message="action plugins are not supported yet: remove plugin from then",
        holds=lambda spec: not any(action.plugin for rule in spec.rules for action in rule.then),
        cel="!self.rules.exists(rule, rule.then.exists(action, has(action.plugin)))",
        field="rules",
    ),
    Check(
        message="only metricSource.type prometheus is supported yet: write type: prometheus, or leave it out",
        holds=lambda spec: spec.metric_source.type == "prometheus",
        cel="!has(self.metricSource) || self.metricSource.type == 'prometheus'",
        field="metricSource.type",
    ),
    Check(
        message="only targets of kind Deployment are supported yet: guard a Deployment",
        holds=lambda spec: spec.target_ref.kind == "Deployment",
        cel="self.targetRef.kind == 'Deployment'",
        field="targetRef.kind",
    ),
)
