"""`convert`: reads files with autoscalers and prints policies."""

from __future__ import annotations

from collections.abc import Iterable

from resilience_operator.cli.common.console import CommandError, PolicyFormat, emit, print_note
from resilience_operator.cli.common.documents import documents
from resilience_operator.cli.convert.converter import Converted, convert_all
from resilience_operator.cli.convert.yaml_output import commented, joined


def run(files: Iterable[str], output: PolicyFormat) -> bool:
    """Print policies with notes, and what was left out. Returns whether everything was converted.

    Raises CommandError, UsageError.
    """
    found = convert_all(document.content for file in files for document in documents(file))
    if not found:
        raise CommandError("the input contains no document")
    for one in found:
        # Notes on a policy are comments above it; those on what has no policy would be nowhere.
        for remark in one.notes:
            if remark.lost or (one.policy is None and not one.used):
                print_note(f"{one.source}: {'LEFT OUT: ' if remark.lost else ''}{remark}")
    if output is PolicyFormat.JSON:
        emit([_document(one) for one in found], output)
    else:
        parts = [commented(one.policy, f"From {one.source}.", _lines(one)) for one in found if one.policy is not None]
        print(joined(parts), end="")
    return all(one.whole for one in found)


def _lines(one: Converted) -> Iterable[str]:
    return (f"LEFT OUT: {remark}" if remark.lost else str(remark) for remark in one.notes)


def _document(one: Converted) -> dict[str, object]:
    remarks = [{"where": r.where, "text": r.text, "lost": r.lost} for r in one.notes]
    return {"source": one.source, "policy": one.policy, "remarks": remarks}
