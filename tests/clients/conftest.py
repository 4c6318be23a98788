"""The local agent as the other integration tests start it, for clients that are not ours."""

from pathlib import Path

import pytest

from tests.integration.conftest import guide, recogniser, start_agent

__all__ = ["guide", "recogniser", "start_agent"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Others' clients know no time but the machine's."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.wide)
