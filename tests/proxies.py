"""Addresses of proxies that no client of the kiosk's can use."""

UNUSABLE_PROXIES = [
    "socks5://user:s3cret@127.0.0.1:1080",
    "socks4://127.0.0.1:1080",
    "ftp://127.0.0.1",
    "http://127.0.0.1:port",
    "http://[::1",
    "://s3cret",
]
