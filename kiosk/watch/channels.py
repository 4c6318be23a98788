"""Channels of alerts: a mail, or one JSON object posted to a webhook.

Addresses of webhooks and passwords are secrets: no error names them.
"""

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from typing import Protocol

from kiosk.errors import KioskError, ProxyError
from kiosk.proxies import proxied
from kiosk.watch.alerts import Notice
from kiosk.watch.settings import (
    PASSWORD_CREDENTIAL,
    WEBHOOK_CREDENTIAL,
    EmailTable,
    WatchSettings,
    secret,
)

_TIMEOUT_S = 20.0


class DeliveryError(KioskError):
    """It was not taken; it may be later."""

    cause = "alert_undelivered"


class Channel(Protocol):
    """One way out."""

    name: str

    async def send(self, notice: Notice) -> None:
        """Raises DeliveryError."""
        ...


def channels(settings: WatchSettings) -> list[Channel]:
    """Those that the settings name; raises ConfigError for a secret that is missing."""
    found: list[Channel] = []
    if (email := settings.email) is not None:
        password = ""
        if email.user:
            password = secret(email.password_file, PASSWORD_CREDENTIAL, "email.password_file")
        found.append(Email(email, password))
    if (webhook := settings.webhook) is not None:
        found.append(Webhook(secret(webhook.url_file, WEBHOOK_CREDENTIAL, "webhook.url_file")))
    return found


class Email:
    """By SMTP."""

    name = "email"

    def __init__(self, settings: EmailTable, password: str) -> None:
        self._settings = settings
        self._password = password

    async def send(self, notice: Notice) -> None:
        try:
            await asyncio.to_thread(self._send, self._message(notice))
        except smtplib.SMTPResponseException as error:
            raise DeliveryError(f"the mail server says {error.smtp_code}") from None
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryError(f"the mail server: {type(error).__name__}") from None

    def _message(self, notice: Notice) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = f"[kiosk] {notice.headline}"
        message["From"] = self._settings.sender
        message["To"] = ", ".join(self._settings.to)
        message.set_content(_text(notice))
        return message

    def _send(self, message: EmailMessage) -> None:
        settings, context = self._settings, ssl.create_default_context()
        if settings.tls == "implicit":
            client: smtplib.SMTP = smtplib.SMTP_SSL(
                settings.host, settings.port, timeout=_TIMEOUT_S, context=context
            )
        else:
            client = smtplib.SMTP(settings.host, settings.port, timeout=_TIMEOUT_S)
        with client:
            if settings.tls == "starttls":
                client.starttls(context=context)
            if settings.user:
                client.login(settings.user, self._password)
            client.send_message(message)


class Webhook:
    """By HTTP. `text` in the object is what chat services show."""

    name = "webhook"

    def __init__(self, url: str) -> None:
        self._url = url

    async def send(self, notice: Notice) -> None:
        import httpx2

        def build() -> httpx2.AsyncClient:
            return httpx2.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False)

        body = {"text": f"{notice.headline}. {notice.subject}", **notice.model_dump()}
        try:
            async with asyncio.timeout(_TIMEOUT_S), proxied(build) as client:
                response = await client.post(self._url, json=body)
        except ProxyError as error:
            raise DeliveryError(f"the webhook: {error}") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            raise DeliveryError(f"the webhook: {type(error).__name__}") from None
        if not 200 <= response.status_code < 300:
            raise DeliveryError(f"the webhook answered HTTP {response.status_code}")


def _text(notice: Notice) -> str:
    told = "".join(f"{name}: {value}\n" for name, value in notice.told.items())
    return (
        f"{notice.headline}\n\n{notice.subject}\n{notice.remedy}\n\n"
        f"site: {notice.site or '-'}\nmessage: {notice.message}\npriority: {notice.priority}\n"
        f"count: {notice.count}\nsince: {notice.since}\nat: {notice.at}\n{told}"
    )
