"""The local agent as the other integration tests start it, for clients that are not ours."""

from tests.integration.conftest import guide, recogniser, start_agent

__all__ = ["guide", "recogniser", "start_agent"]
