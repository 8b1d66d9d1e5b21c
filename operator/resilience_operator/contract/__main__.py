"""`python -m resilience_operator.contract --plugin NAME`: the contract tests, with pytest's own options besides."""

from __future__ import annotations

import sys

import pytest

if __name__ == "__main__":
    sys.exit(
        pytest.main(
            ["-p", "resilience_operator.contract.options", "--pyargs", "resilience_operator.contract", *sys.argv[1:]]
        )
    )
