"""`python -m resilience_operator.contract --plugin NAME`: runs the contract tests; accepts pytest's options."""

from __future__ import annotations

import sys

import pytest

if __name__ == "__main__":
    sys.exit(
        pytest.main(
            ["-p", "resilience_operator.contract.options", "--pyargs", "resilience_operator.contract", *sys.argv[1:]]
        )
    )
