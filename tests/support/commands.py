"""The commands that README and the documentation show.

A command is a line of a block of shell (in a `console` block: one that begins with `$`), or a line of an indented block
that begins with a command's name; there, what follows two blanks explains it. `make`, `pytest` and `python -m` count
inside of a sentence too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.install import ROOT

PAGES = (
    ROOT / "README.md",
    ROOT / "docs" / "quick-start.md",
    ROOT / "docs" / "install.md",
    *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name not in ("quick-start.md", "install.md")),
)
"""In the order in which a new user reads them. The records of decisions are history, and run nothing."""

NAMES = (
    "make", "kubectl", "helm", "kind", "docker", "resilience-operator", "kubectl-resilience",
    "python", "python3", "pytest", "pip", "pip-audit", "buildah", "debootstrap", "apt-get", "export", "git", "curl",
)  # fmt: skip
_INLINE = re.compile(r"`((?:[A-Z_]+=\S+ )?(?:make|pytest|python -m) [^`]+)`")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """One command line, and the page that shows it."""

    text: str
    page: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def commands(page: Path) -> Iterator[Command]:
    """The commands of a page, in its order."""
    text, where = page.read_text(), str(page.relative_to(ROOT))
    rest = 0
    for fence in _FENCE.finditer(text):
        yield from (Command(each, where) for each in _of_prose(text[rest : fence.start()]))
        yield from (Command(each, where) for each in _of_block(fence[1], fence[2]))
        rest = fence.end()
    yield from (Command(each, where) for each in _of_prose(text[rest:]))


NOT_RUN = {
    r"docker |kind ": "needs a container engine; tests/image builds the same image with buildah",
    r"pip install .*shop-pager": "installs a package that is made up; tests/e2e/test_plugins.py installs one like it",
    r"kubectl apply .*manifests/monitoring": "needs the custom resources of the Prometheus operator",
    r"pipx? install '?\.": "installs the checkout; the tests run the plugin of such an installation",
    r"helm .* --repo ": "fetches a chart of another project from the network",
    r"helm .* -f values\.yaml$": "needs the Prometheus Operator; tests/e2e/test_helm_values.py has stubs",
    r"cosign |gh ": "verifies a published image, and none is published yet",
    r"kubectl get (rollout|canary),": "needs the kinds of Argo Rollouts or Flagger",
    r"kubectl port-forward ": "goes on until it is ended, and needs a kubelet, which simulated nodes lack",
    r"helm template \.$": "stands for a chart of your own",
    r"kubectl resilience lint -$": "reads what stands before it in a pipe; tests/e2e/test_cli.py gives it a file",
}
"""Commands, by how they begin, that no test runs or parses, and why not."""


def reason_not_run(text: str) -> str:
    """Why a command is not run; empty for one that is run or checked."""
    return next((reason for begin, reason in NOT_RUN.items() if re.match(begin, text)), "")


def parts(text: str) -> list[str]:
    """The commands of a pipe; a bar within quotes is none."""
    return [part.strip() for part in re.findall(r"""(?:'[^']*'|"[^"]*"|[^'"|])+""", text)]


def runs_on_a_cluster(text: str) -> bool:
    """Whether tests/e2e/test_documented_commands.py runs it: all of kubectl and helm, but for the plugin of kubectl."""
    name = text.partition(" ")[0]
    return name in ("kubectl", "helm") and not text.startswith("kubectl resilience") and not reason_not_run(text)


def _of_block(language: str, text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        if language in ("bash", "sh", "shell") and line.strip() and not line.startswith("#"):
            yield _bare(line)
        elif language == "console" and line.startswith("$ "):
            yield _bare(line[2:])


def _of_prose(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.startswith("    ") and line.split()[0].removeprefix(".venv/bin/") in NAMES:
            yield _bare(re.split(r"\s{2,}", line.strip())[0])
        elif not line.startswith("    "):
            yield from (_bare(inline[1]) for inline in _INLINE.finditer(line))


def _bare(line: str) -> str:
    """Without its comment, and with single blanks."""
    return " ".join(re.sub(r"\s+#\s.*$", "", line).split())
