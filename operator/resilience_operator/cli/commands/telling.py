"""The story of a rehearsal, as `simulate` and `replay` tell it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resilience_operator.cli.console import Output, columns, emit, say, show
from resilience_operator.cli.story.story import Story


def tell(story: Story, output: Output, picture: Path | None, more: dict[str, Any]) -> None:
    """The story in the form that was asked for."""
    from resilience_operator.cli.story.telling import HEADERS, document, rows, summary

    if picture is not None:
        from resilience_operator.cli.story.picture import draw

        draw(story, picture)
    for note in story.notes:
        say(note)
    if output is not Output.TABLE:
        emit({**document(story), **more}, output)
    else:
        show(summary(story))
        if story.happenings:
            show(columns(HEADERS, rows(story)))
