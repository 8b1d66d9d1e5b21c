"""What the schema already knows and the operator does not do yet.

Whoever writes such a field is told so on apply, in place of being ignored. Each entry is a check on the whole
spec; delete it, and its cases in the tests, with the change that makes the field act.
"""

from .checks import Check
from .target import WORKLOADS

NOT_YET: tuple[Check, ...] = (
    Check(
        message="only targets of kind Deployment, StatefulSet and DaemonSet are supported yet: guard one of these",
        holds=lambda spec: spec.target_ref.kind in WORKLOADS,
        cel=f"self.targetRef.kind in {list(WORKLOADS)}",
        field="targetRef.kind",
    ),
)
