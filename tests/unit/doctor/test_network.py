"""The way to the server, against real sockets on the loopback interface, with an authority of our
own."""

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kiosk.doctor import network
from kiosk.doctor.findings import Finding, Result
from tests.proxies import UNUSABLE_PROXIES
from tests.silence import BLACK_HOLE, black_hole, resolve
from tests.unit.doctor.subjects import is_good_form, subject
from tests.unit.link.test_websocket import free_port

HEALTHY = b'{"status":"ok"}'


@dataclass
class Answer:
    status: int = 200
    body: bytes = HEALTHY
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


@dataclass
class Authority:
    """A certificate authority of the test's own: certificates for localhost."""

    directory: Path

    def __post_init__(self) -> None:
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Museum", "-days", "3650",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip

    @property
    def certificate(self) -> Path:
        return self.directory / "ca.pem"

    def context(self, days: float, host: str = "localhost") -> ssl.SSLContext:
        """A server's, whose certificate is good for so many days from now on."""
        ends = datetime.now(UTC) + timedelta(days=days)
        (self.directory / "ext").write_text(f"subjectAltName=DNS:{host},IP:127.0.0.1\n")
        self._openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", "server.key", "-out", "server.csr", "-subj", f"/CN={host}",
        )  # fmt: skip
        (self.directory / "index.txt").write_text("")
        (self.directory / "ca.cnf").write_text(
            "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\nrand_serial=yes\nnew_certs_dir=.\n"
            "policy=any\ndefault_md=sha256\nunique_subject=no\n[any]\ncommonName=supplied\n"
        )
        self._openssl(
            "ca", "-batch", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key",
            "-in", "server.csr", "-out", "server.pem", "-extfile", "ext", "-notext",
            "-startdate", "20200101000000Z", "-enddate", f"{ends:%Y%m%d%H%M%SZ}",
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.directory / "server.pem", self.directory / "server.key")
        return context

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(
            ["openssl", *arguments], cwd=self.directory, check=True, capture_output=True, timeout=20
        )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


Serve = Callable[..., int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(answer, context)`: a server that says the same to everybody; its port."""
    with contextlib.ExitStack() as stack:

        def start(answer: Answer, context: ssl.SSLContext | None = None) -> int:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body)

                def log_message(self, *_: object) -> None:
                    pass

            class Server(ThreadingHTTPServer):
                def handle_error(self, *_: object) -> None:
                    """A client that does not trust us hangs up."""

            server = Server(("127.0.0.1", 0), Handler)
            if context is not None:
                server.socket = context.wrap_socket(server.socket, server_side=True)
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            stack.callback(server.server_close)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return int(server.server_address[1])

        yield start


def look(url: str) -> dict[str, Finding]:
    of = subject(credentials={"mode": "backend", "backend_url": url}, agent={"id": ""})
    findings = list(network.look(of))
    assert [each.id for each in findings] == ["dns", "proxy", "tls", "backend"]
    assert all(map(is_good_form, findings))
    return {each.id: each for each in findings}


def results(found: dict[str, Finding]) -> list[str]:
    return [str(each.result) for each in found.values()]


def test_a_backend_that_is_well_passes(serve: Serve) -> None:
    found = look(f"http://127.0.0.1:{serve(Answer())}")
    assert results(found) == ["pass", "pass", "skip", "pass"]
    assert " ms" in found["backend"].value


def test_a_name_without_an_address_is_the_one_failure() -> None:
    found = look("https://kiosks.invalid")
    assert results(found) == ["fail", "pass", "skip", "skip"]
    assert "kiosks.invalid" in found["dns"].value


def test_a_backend_that_does_not_run_is_named_with_its_port() -> None:
    port = free_port()
    found = look(f"http://127.0.0.1:{port}")
    assert found["backend"].result is Result.FAIL
    assert "Connection refused" in found["backend"].value
    assert str(port) in str(found["backend"].next_step)


def test_a_firewall_that_drops_is_told_with_the_port_to_let_through() -> None:
    with black_hole() as port:
        found = look(f"https://{BLACK_HOLE}:{port}")
    assert results(found) == ["pass", "pass", "skip", "fail"]
    assert "no answer in 4 s" in found["backend"].value
    assert f"is {BLACK_HOLE}:{port} let through?" in str(found["backend"].next_step)


def test_a_server_that_takes_a_connection_and_is_silent_is_asked_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        found = look(f"https://127.0.0.1:{port}")
        listening.setblocking(False)
        listening.accept()[0].close()
        with pytest.raises(BlockingIOError):
            listening.accept()
    assert results(found) == ["pass", "pass", "skip", "fail"]
    assert "no answer in 4 s" in found["backend"].value


def test_an_address_that_swallows_everything_does_not_hold_up_the_next(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, "kiosks.test", BLACK_HOLE, "127.0.0.1")
    port = serve(Answer())
    with black_hole(port):
        assert results(look(f"http://kiosks.test:{port}")) == ["pass", "pass", "warn", "pass"]
        found = look(f"http://kiosks.test:{port}/api/signed-url")
    assert found["backend"].result is Result.PASS


def test_of_several_addresses_that_refuse_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve(monkeypatch, "kiosks.test", "127.0.0.2", "127.0.0.1")
    for path in ("", "/api/signed-url"):
        found = look(f"https://kiosks.test:{free_port()}{path}")
        assert "Connection refused" in found["tls"].value
        assert "Connection refused" in found["backend"].value


def test_name_servers_that_are_silent_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def getaddrinfo(*_: object, **__: object) -> None:
        answer.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    found = look("https://kiosks.test")
    assert results(found) == ["fail", "pass", "skip", "skip"]
    assert found["dns"].value == "kiosks.test: no answer in 3 s"
    named = ", ".join(network.name_servers()) or "/etc/resolv.conf names no name server"
    assert named in str(found["dns"].next_step)
    answer.set()
    found = look("https://kiosks.test")
    assert "Temporary failure" in found["dns"].value
    assert named in str(found["dns"].next_step)


def test_name_servers_are_those_of_the_systems_file(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# by hand\nsearch museum\nnameserver 10.0.0.1\nnameserver\nnameserver ::1\n")
    assert network.name_servers(file) == ["10.0.0.1", "::1"]
    assert network.name_servers(tmp_path / "none") == []


def test_a_redirect_is_a_captive_portal(serve: Serve) -> None:
    port = serve(Answer(302, b"", {"Location": "http://login.hotel.example/?token=x"}))
    found = look(f"http://127.0.0.1:{port}")
    assert found["proxy"].result is Result.FAIL
    assert "login.hotel.example" in found["proxy"].value
    assert "token" not in found["proxy"].value
    assert found["backend"].result is Result.FAIL


def test_a_web_page_in_the_backends_place_is_one_too(serve: Serve) -> None:
    port = serve(Answer(200, b"<html>Welcome</html>", {"Content-Type": "text/html"}))
    found = look(f"http://127.0.0.1:{port}")
    assert (found["proxy"].result, found["backend"].result) == (Result.FAIL, Result.FAIL)


def test_a_server_that_is_no_backend_fails(serve: Serve) -> None:
    assert look(f"http://127.0.0.1:{serve(Answer(404, b''))}")["backend"].result is Result.FAIL
    assert look(f"http://127.0.0.1:{serve(Answer(200, b'[]'))}")["backend"].result is Result.FAIL


def test_a_proxy_in_the_environment_is_named_and_its_password_is_not(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = serve(Answer())
    monkeypatch.setenv("https_proxy", "http://user:s3cret@10.0.0.1:3128")
    found = look(f"http://127.0.0.1:{port}")
    assert found["proxy"].result is Result.WARN
    assert "https_proxy" in found["proxy"].value
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize("value", UNUSABLE_PROXIES)
def test_a_proxy_that_cannot_be_used_is_the_one_failure(
    value: str, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", value)
    found = look(f"http://127.0.0.1:{serve(Answer())}")
    assert results(found) == ["pass", "fail", "skip", "skip"]
    assert "HTTP_PROXY" in found["proxy"].value
    assert "write http://HOST:PORT" in str(found["proxy"].next_step)
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("variable", "value"), [("http_proxy", "proxy.example:3128"), ("socks_proxy", "socks5://h:1")]
)
def test_a_proxy_that_no_client_here_uses_fails_no_healthy_kiosk(
    variable: str, value: str, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    found = look(f"http://127.0.0.1:{serve(Answer())}")
    assert found["proxy"].result is Result.WARN
    assert variable in found["proxy"].value
    assert found["backend"].result is Result.PASS


# --- certificates -------------------------------------------------------------------------------


def test_an_authority_that_nobody_installed_is_named_with_what_to_do(
    serve: Serve, authority: Authority
) -> None:
    found = look(f"https://localhost:{serve(Answer(), authority.context(90))}")
    assert results(found) == ["pass", "pass", "fail", "skip"]
    assert "unable to get local issuer certificate" in found["tls"].value
    assert "update-ca-certificates" in str(found["tls"].next_step)


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    return authority


def test_an_authority_that_is_installed_passes_with_the_days_left(
    serve: Serve, trusted: Authority
) -> None:
    found = look(f"https://localhost:{serve(Answer(), trusted.context(90.5))}")
    assert results(found) == ["pass", "pass", "pass", "pass"]
    assert found["tls"].value == "good for 90 days"


def test_a_certificate_that_soon_expires_is_warned_of(serve: Serve, trusted: Authority) -> None:
    found = look(f"https://localhost:{serve(Answer(), trusted.context(13.5))}")
    assert (found["tls"].result, found["tls"].value) == (Result.WARN, "good for 13 days")
    assert found["backend"].result is Result.PASS


def test_an_expired_certificate_fails_and_points_to_the_clock(
    serve: Serve, trusted: Authority
) -> None:
    found = look(f"https://localhost:{serve(Answer(), trusted.context(-1))}")
    assert found["tls"].result is Result.FAIL
    assert "expired" in found["tls"].value
    assert "clock" in str(found["tls"].next_step)


def test_a_certificate_of_another_name_fails(serve: Serve, trusted: Authority) -> None:
    port = serve(Answer(), trusted.context(90, host="elsewhere.example"))
    found = look(f"https://localhost:{port}")
    assert found["tls"].result is Result.FAIL
    assert "name" in str(found["tls"].next_step)


def test_plain_http_behind_https_is_told(serve: Serve) -> None:
    found = look(f"https://localhost:{serve(Answer())}")
    assert found["tls"].result is Result.FAIL
    assert "plain HTTP" in str(found["tls"].next_step)


# --- others' servers ----------------------------------------------------------------------------


def test_of_anothers_backend_nothing_is_asked(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(5)
        port = listening.getsockname()[1]
        found = look(f"http://127.0.0.1:{port}/api/signed-url")
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(5)
            assert connection.recv(100) == b""
    assert found["backend"].result is Result.PASS
    assert "no more was asked" in found["backend"].value


def test_a_public_agents_host_is_the_server() -> None:
    port = free_port()
    of = subject(agent={"id": "agent_x", "url": f"ws://127.0.0.1:{port}"})
    found = {each.id: each for each in network.look(of)}
    assert found["backend"].result is Result.FAIL
    assert [each.result for each in network.look_at_provider(of)] == [Result.SKIP]


def test_an_agents_host_out_of_reach_is_a_warning_for_the_backend_may_know_another() -> None:
    of = subject(
        credentials={"mode": "backend", "backend_url": "http://127.0.0.1:1"},
        agent={"id": "", "url": "wss://agents.invalid"},
    )
    [found] = network.look_at_provider(of)
    assert found.result is Result.WARN
    assert "agents.invalid" in found.value
