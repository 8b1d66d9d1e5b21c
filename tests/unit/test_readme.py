"""What README promises by name is there, and every policy that people may copy is one."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from resilience_operator.api.v1alpha1 import KIND, parse_policy
from tests.cluster.build import SOURCES, needed_go

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of README in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def policies() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every policy that is shown or shipped, with where it stands."""
    texts = {f"README block {number}": text for number, text in enumerate(blocks("yaml"), 1)}
    files = [*(ROOT / "manifests" / "samples").glob("*.yaml"), ROOT / "tests" / "demo" / "policy.yaml"]
    texts |= {str(file.relative_to(ROOT)): file.read_text() for file in sorted(files)}
    for where, text in texts.items():
        for document in yaml.safe_load_all(text):
            if document and document.get("kind") == KIND:
                yield f"{where}: {document['metadata']['name']}", document


POLICIES = dict(policies())
TARGETS = set(re.findall(r"^([a-z][a-z-]*(?: [a-z-]+)*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
MAKE = set(re.findall(r"(?:^ {4}|`)make ([a-z][a-z-]*)", README, re.MULTILINE))
LINKS = [link for link in re.findall(r"\]\(([^)\s]+)\)", README) if not re.match(r"[a-z]+://|#", link)]
PATHS = set(re.findall(r"(?<![\w./-])(?:manifests|docs|tests|operator|crds)/[\w./-]*\w", README))


@pytest.mark.parametrize("where", POLICIES)
def test_every_policy_is_one(where: str) -> None:
    parse_policy(POLICIES[where])


def test_readme_and_samples_have_policies() -> None:
    assert any(where.startswith("README") for where in POLICIES)
    assert sum(where.startswith("manifests/samples/") for where in POLICIES) >= 5


def test_the_policy_of_readme_is_the_sample() -> None:
    (shown,) = (p for where, p in POLICIES.items() if where.startswith("README"))
    shipped = next(p for where, p in POLICIES.items() if where.startswith("manifests/samples/checkout.yaml"))
    assert shown["spec"] == shipped["spec"]


def test_the_policy_of_the_demo_has_the_founding_thresholds() -> None:
    def asked(policy: dict[str, Any]) -> list[tuple[str, str, set[str]]]:
        rules = policy["spec"]["rules"]
        return [(r["when"]["signal"], r["when"]["above"], {key for a in r["then"] for key in a}) for r in rules]

    (demo,) = (p for where, p in POLICIES.items() if where.startswith("tests/demo/"))
    (shown,) = (p for where, p in POLICIES.items() if where.startswith("README"))
    assert asked(demo) == asked(shown)


def test_the_go_that_is_needed_is_the_one_named() -> None:
    assert f"({'.'.join(map(str, needed_go(SOURCES.values())))})" in README


def test_it_names_make_targets() -> None:
    assert {"demo", "test"} <= MAKE


@pytest.mark.parametrize("target", sorted(MAKE))
def test_every_make_target_exists(target: str) -> None:
    assert target in {word for line in TARGETS for word in line.split()}


@pytest.mark.parametrize("link", sorted({*LINKS, *PATHS}))
def test_every_relative_link_and_path_exists(link: str) -> None:
    assert (ROOT / link.partition("#")[0]).exists()
