"""THE SETTINGS: frozen and checked before anything runs.

Secrets are never settings, only the paths of the files that hold them.
"""

from kiosk.config.loading import (
    DEVICE_TOKEN_CREDENTIAL,
    check_text,
    compat_api_key,
    control_socket,
    device_token,
    load_settings,
    read_text,
    state_dir,
)
from kiosk.config.tables import Settings, VisitTable

__all__ = [
    "DEVICE_TOKEN_CREDENTIAL",
    "Settings",
    "VisitTable",
    "check_text",
    "compat_api_key",
    "control_socket",
    "device_token",
    "load_settings",
    "read_text",
    "state_dir",
]
