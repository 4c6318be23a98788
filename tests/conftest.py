"""How long a test may take before it is said to hang."""

import pytest

# The limit of pyproject.toml is for tests that wait for nothing. These speak and listen at the
# speed of speech, in processes of their own: a busy machine makes them slow, and nothing else.
_WIDE_S = 300


@pytest.hookimpl(trylast=True)  # when every directory has marked its own
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("wide") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_WIDE_S))
