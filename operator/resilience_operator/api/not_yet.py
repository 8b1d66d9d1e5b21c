"""What the schema already knows and the operator does not do yet.

Whoever writes such a field is told so on apply, in place of being ignored. Each entry is a check on the whole
spec; delete it, and its cases in the tests, with the change that makes the field act.
"""

from .checks import Check

NOT_YET: tuple[Check, ...] = (
    Check(
        message="only targets of kind Deployment are supported yet: guard a Deployment",
        holds=lambda spec: spec.target_ref.kind == "Deployment",
        cel="self.targetRef.kind == 'Deployment'",
        field="targetRef.kind",
    ),
)
