"""Generates the page of all reasons of Events and conditions.

python -m resilience_operator.tools.events            writes docs/events.md
python -m resilience_operator.tools.events --check    exits with 1 if that file is outdated
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from resilience_operator.api.conditions import REASONS
from resilience_operator.api.event_reasons import EVENT_REASONS
from resilience_operator.tools import generated

EVENTS_FILE = Path("docs") / "events.md"
"""Relative to the root of the checkout."""

_HEADER = """<!-- Made from operator/resilience_operator/api by `make generate`. Do not edit. -->
# Events and conditions

Reasons are a stable interface for scripts and alerts: new ones are added, and none is renamed.

## Events

The operator writes each event on the policy and on its target. In dry run, messages start with `[dry run]`. The
annotation `resilience-operator.io/trace-id` links an event to its decision in `status.history`.

    kubectl get events -n NAMESPACE --field-selector reason=RolledBack

| reason | type | meaning | what to do |
|---|---|---|---|
"""

_CONDITIONS = """
## Conditions

Every policy has four conditions. All are True if all is well. Each reason links to its entry in the runbook.

    kubectl get rsp NAME -n NAMESPACE -o jsonpath='{.status.conditions}'
"""


def render() -> str:
    """The page, as Markdown."""
    return "".join((_HEADER, *_events(), _CONDITIONS, *_conditions()))


def _events() -> Iterator[str]:
    known = {reason for reasons in REASONS.values() for reason in reasons}
    for reason, event in sorted(EVENT_REASONS.items()):
        shown = f"[`{reason}`](runbook.md#{reason.lower()})" if reason in known else f"`{reason}`"
        yield f"| {shown} | {'Warning' if event.warning else 'Normal'} | {event.meaning} | {event.to_do} |\n"


def _conditions() -> Iterator[str]:
    for type_, reasons in REASONS.items():
        yield f"\n### {type_}\n\n| reason | meaning |\n|---|---|\n"
        for reason, meaning in reasons.items():
            # The runbook has one entry for a reason that several types share.
            yield f"| [`{reason}`](runbook.md#{reason.lower()}) | {meaning} |\n"


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Returns its exit code."""
    return generated.main(EVENTS_FILE, render, about=str(__doc__), arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
