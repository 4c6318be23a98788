"""Which proxies of the environment can be used, and what is said of the others."""

import os

import pytest

from kiosk.proxies import proxy_mistake


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "value",
    ["", "http://proxy:3128", "http://proxy", "https://user:s3cret@10.0.0.1:1/", "HTTP://[::1]:1"],
)
def test_a_proxy_that_can_be_used_is_no_mistake(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", value)
    monkeypatch.setenv("no_proxy", "::1/200, [, *.museum.example")
    assert proxy_mistake() is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("https_proxy", "proxy:3128"),
        ("HTTP_PROXY", "socks5h://s3cret"),
        ("all_proxy", "http://proxy:99999"),
        ("https_proxy", "http://"),
        ("https_proxy", "http://a..b:1"),
        ("https_proxy", " http://proxy:1"),
        ("https_proxy", "http://user:s3cret@a\x07:3128"),
        ("https_proxy", "http://s3cret@proxy:1"),
        ("https_proxy", "http://proxy:1/s3cret"),
        ("socks_proxy", "http://proxy:1080"),
    ],
)
def test_one_that_cannot_is_named_by_its_variable_and_never_by_its_value(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    mistake = proxy_mistake()
    assert mistake is not None
    assert mistake.startswith(f"{name} names a proxy")
    assert "s3cret" not in mistake


def test_others_programs_proxies_are_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ftp_proxy", "socks5://proxy")
    assert proxy_mistake() is None


def test_the_small_letters_count_before_the_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    assert proxy_mistake() is None
    monkeypatch.setenv("https_proxy", "proxy:3128")
    assert str(proxy_mistake()).startswith("https_proxy ")
