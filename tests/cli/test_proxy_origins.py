"""Which pages `coco proxy` lets in: foreign origins and DNS rebinding stay out."""

from __future__ import annotations

from typing import Any

import pytest

from cli.proxy_origins import host_allowed, origin_allowed, parse_origin
from core.errors import CocoError

REMIX = "https://remix.ethereum.org"
METAMASK = "chrome-extension://nkbihfbeogaeaoehlefnkodbefgpgknn"
FIREFOX = "moz-extension://0f2b1c9e-51a5-4f0e-9a51-3b9f0f6e6a10"


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        (REMIX, REMIX),
        ("https://Remix.Ethereum.org/", REMIX),
        ("https://remix.ethereum.org:443", REMIX),
        ("http://dapp.example:80", "http://dapp.example"),
        ("http://dapp.example:8080", "http://dapp.example:8080"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        (METAMASK, METAMASK),
        ("moz-extension://*", "moz-extension://*"),
        ("*", "*"),
    ],
)
def test_origins(text: str, origin: str) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "remix.ethereum.org",
        "https://",
        "https://*",
        "https://*.example",
        "https://dapp.example/app",
        "https://a.example,https://b.example",
        "https://user@dapp.example",
        "file://x",
        "ftp://dapp.example",
        "chrome-extension://",
        "**",
    ],
)
def test_what_is_no_origin(text: str) -> None:
    with pytest.raises(CocoError, match="not a web page's origin"):
        parse_origin(text)


@pytest.mark.parametrize(
    ("origin", "site", "allowed", "expected"),
    [
        (None, None, (), True),
        (None, "none", (), True),
        (None, "same-origin", (), True),
        (None, "cross-site", (), False),
        ("http://localhost:3000", "same-site", (), True),
        ("https://127.0.0.1", None, (), True),
        ("http://[::1]:3000", None, (), True),
        ("null", None, (), False),
        ("", None, (), False),
        ("file://", None, (), False),
        ("http://localhost.attacker.example", None, (), False),
        ("http://127.0.0.1.attacker.example", None, (), False),
        ("http://localhost@attacker.example", None, (), False),
        (METAMASK, "none", (), False),
        (FIREFOX, None, (), False),
        (REMIX, "cross-site", (REMIX,), True),
        ("http://remix.ethereum.org", None, (REMIX,), False),
        (f"{REMIX}:8443", None, (REMIX,), False),
        (f"{REMIX}.attacker.example", None, (REMIX,), False),
        (METAMASK, None, (METAMASK,), True),
        (METAMASK[:-1] + "m", None, (METAMASK,), False),
        (FIREFOX, None, ("moz-extension://*",), True),
        (METAMASK, None, ("moz-extension://*",), False),
        ("https://attacker.example", None, ("moz-extension://*",), False),
        ("https://attacker.example", "cross-site", ("*",), True),
        (None, "cross-site", ("*",), True),
    ],
)
def test_pages(origin: str | None, site: str | None, allowed: tuple[str, ...], expected: bool) -> None:
    assert origin_allowed(origin, site, allowed) is expected


@pytest.mark.parametrize(
    ("host", "expected", "with_consent"),
    [
        ("localhost", True, True),
        ("LocalHost:8545", True, True),
        ("127.0.0.1:8545", True, True),
        ("[::1]:8545", True, True),
        ("192.168.1.5:8545", False, True),
        ("[fe80::1]:8545", False, True),
        ("attacker.example", False, False),
        ("attacker.example:8545", False, False),
        ("localhost.attacker.example", False, False),
        ("127.0.0.1.attacker.example", False, False),
        ("attacker@localhost:8545x", False, False),
        ("", False, False),
        ("[", False, False),
    ],
)
def test_a_name_that_could_be_rebound_is_never_this_machine(host: str, expected: bool, with_consent: bool) -> None:
    assert host_allowed(host, any_address=False) is expected
    assert host_allowed(host, any_address=True) is with_consent


@pytest.mark.usefixtures("stand_in_adapters", "network")
def test_the_option(coco: Any) -> None:
    refused = coco("proxy", "--allow-origin", "remix.ethereum.org", code=2)
    assert "not a web page's origin" in refused.err
    assert "https://wallet.example" in refused.err
    assert "has not been started yet" in coco("proxy", "--allow-origin", REMIX, "--allow-origin", "*", code=7).err
