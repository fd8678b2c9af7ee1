"""Options of the whole-way tests."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--networks", type=int, default=51, help="random networks through the whole way"
    )
    parser.addoption("--first-seed", type=int, default=0, help="seed of the first random network")
