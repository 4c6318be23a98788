"""The local agent's parts and the short directory, as the integration tests have them."""

from tests.integration.conftest import guide, recogniser, short_dir

__all__ = ["guide", "recogniser", "short_dir"]
