"""What a server repeats of what it was sent is struck out, in every form and however long the text around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from resilience_operator.signals.prometheus.config import SourceConfig
from resilience_operator.signals.prometheus.credentials import SHORTEST_SECRET, Credentials


def made(folder: Path, **files: str) -> tuple[Credentials, SourceConfig]:
    for name, text in files.items():
        (folder / name).write_text(text)
    config = SourceConfig(
        name="a",
        url="https://a",
        headers={"X-Plain": "plain-secret"},
        header_files={"X-File": folder / "header"} if "header" in files else {},
        bearer_token_file=folder / "token" if "token" in files else None,
        username_file=folder / "user" if "user" in files else None,
        password_file=folder / "password" if "password" in files else None,
    )
    return Credentials(config), config


@pytest.mark.parametrize(
    ("files", "text", "left"),
    [
        ({"token": "token-123"}, "Bearer token-123 is wrong", "Bearer … is wrong"),
        ({"header": 'say "secret"'}, '{"x": "say \\"secret\\""}', '{"x": "…"}'),
        ({"header": "geheim-ü"}, "geheim-ü geheim-\\u00fc", "… …"),
        ({"user": "me", "password": "pass:word"}, "me, pass:word, bWU6cGFzczp3b3Jk", "me, …, …"),
        ({}, "plain-secret", "…"),
        # A secret that another begins with does not leave the rest of it standing.
        ({"token": "plain-secret-and-more"}, "plain-secret-and-more", "…"),
        ({"token": "short"}, "a short word stays", "a short word stays"),
    ],
)
def test_struck_out(tmp_path: Path, files: dict[str, str], text: str, left: str) -> None:
    credentials, _ = made(tmp_path, **files)
    credentials.headers()
    assert credentials.redact(text) == left


def test_the_former_secret_too(tmp_path: Path) -> None:
    """The answer to a request with it may come after it was replaced."""
    credentials, _ = made(tmp_path, token="first-token")
    credentials.headers()
    (tmp_path / "token").write_text("second-token-longer")
    assert credentials.headers()["Authorization"] == "Bearer second-token-longer"
    assert credentials.redact("first-token second-token-longer") == "… …"


def test_words_are_no_secrets(tmp_path: Path) -> None:
    assert len("shop") < SHORTEST_SECRET
    credentials, _ = made(tmp_path, header="shop")
    credentials.headers()
    assert credentials.redact("shop") == "shop"


def test_nothing_of_it_is_printed(tmp_path: Path) -> None:
    credentials, config = made(tmp_path, token="token-123")
    credentials.headers()
    for text in (repr(credentials), repr(config), config.model_dump_json(), str(vars(config))):
        assert "token-123" not in text
        assert "plain-secret" not in text
