"""The exceptions of this project. Pure: no imports, no I/O.

An operator's mistake becomes one of these with a message that names the key, the line or the
device, and the next step; the command line prints the message and exits with `exit_code`. What a
visit can expect to go wrong (network lost, agent out of quota) is not an exception: it is an
ending, see `kiosk.endings`.
"""


class KioskError(Exception):
    """An expected failure, worded for the operator. `cause` is a name of `kiosk.causes`."""

    exit_code = 1
    cause = "failed"


class ConfigError(KioskError):
    """The configuration cannot be used. Restarting does not help (sysexits: EX_CONFIG)."""

    exit_code = 78
    cause = "config_invalid"


class DeviceTokenError(ConfigError):
    """There is no device token that could be used."""

    cause = "device_token_missing"


class UnavailableError(KioskError):
    """Something this command needs is absent or does not answer (sysexits: EX_UNAVAILABLE)."""

    exit_code = 69
    cause = "unavailable"


class ProxyError(UnavailableError):
    """The environment names a proxy that cannot be used."""


class DeviceError(UnavailableError):
    """A microphone, loudspeaker, button or LED cannot be opened or has stopped working."""

    cause = "device_unusable"


class CredentialError(UnavailableError):
    """No signed URL could be had. `retryable` tells whether asking again can help; `reason` is the
    slug of a backend that says no, `retry_after_s` when it says that asking is worth it."""

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = True,
        reason: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.cause = "backend_unreachable" if retryable else "token_refused"
        self.retryable = retryable
        self.reason = reason
        self.retry_after_s = retry_after_s


class ToolError(KioskError):
    """A tool of the kiosk's could not do what the agent asked; the text is for the agent."""
