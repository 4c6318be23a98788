"""The local agent's parts, how to start one, and the short directory, as the integration tests
have them."""

from tests.integration.conftest import guide, recogniser, short_dir, start_agent

__all__ = ["guide", "recogniser", "short_dir", "start_agent"]
