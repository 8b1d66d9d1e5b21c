"""Members of enums that are compared in each evaluation, as constants.

Python 3.11 takes 0.2 µs to read a member from its class, because the metaclass has a `__getattr__`: a tenth of a
decision. Later versions read it as any attribute.
"""

from __future__ import annotations

from typing import Final

from resilience_operator.decision.model.memory import Phase, Verdict

OK: Final = Verdict.OK
PENDING: Final = Verdict.PENDING
BREACH: Final = Verdict.BREACH
UNKNOWN: Final = Verdict.UNKNOWN

STABLE: Final = Phase.STABLE
PROGRESSING: Final = Phase.PROGRESSING
BAKING: Final = Phase.BAKING
PAUSED: Final = Phase.PAUSED
ROLLING_BACK: Final = Phase.ROLLING_BACK
ROLLED_BACK: Final = Phase.ROLLED_BACK
