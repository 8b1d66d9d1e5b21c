"""What the site does to its pages: links to files of the checkout, which are no pages, become the file's name, and a
wrong one fails the build. The records of decisions are listed as they are found.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

log = logging.getLogger("mkdocs.hooks.links")
# A link, but not a picture, to a place above docs/, or to what lies in docs/ and is no page.
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def on_config(config: Any) -> Any:
    """The configuration with the records in the place of their folder's name."""
    docs = Path(config["docs_dir"])
    records = [str(file.relative_to(docs)) for file in sorted((docs / "adr").glob("*.md"))]
    for entry in config["nav"]:
        if isinstance(entry, dict) and "Decisions" in entry:
            entry["Decisions"] = records
    return config


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """`markdown` as it is built."""
    docs = Path(config["docs_dir"]).resolve()
    here = (docs / page.file.src_uri).parent

    def replaced(link: re.Match[str]) -> str:
        text, target = link[1], (here / link[2]).resolve()
        if target.suffix in (".md", ".png", ".svg") and target.is_relative_to(docs):
            return link[0]
        if not target.exists():
            log.warning("%s links to %s, which is not there", page.file.src_uri, link[2])
            return link[0]
        path = f"`{target.relative_to(docs.parent)}`"
        return path if text.strip("`") in path else f"{text} ({path})"

    return _LINK.sub(replaced, markdown)
