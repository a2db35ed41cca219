"""docs/tools/remix.md: what the page of Remix sends through a browser, preflight included, to `coco proxy`."""

from __future__ import annotations

import pytest
import requests

from tests.tools.network import Proxy, ToolNetwork

ORIGIN = "https://remix.ethereum.org"
PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type",
    "Access-Control-Request-Private-Network": "true",
    "Sec-Fetch-Site": "cross-site",
}
REQUEST = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}


@pytest.fixture(scope="module")
def allowing(network: ToolNetwork) -> Proxy:
    return network.proxy("alice", "--allow-origin", ORIGIN)


def test_preflight_and_request(allowing: Proxy) -> None:
    preflight = requests.options(allowing.http, headers=PREFLIGHT, timeout=30)
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert preflight.headers["Access-Control-Allow-Headers"] == "content-type"
    assert preflight.headers["Access-Control-Allow-Private-Network"] == "true"
    headers = {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"}
    answer = requests.post(allowing.http, json=REQUEST, headers=headers, timeout=30)
    assert answer.json()["result"] == hex(20170)
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_external_provider_has_no_accounts(allowing: Proxy) -> None:
    """Why Remix can only read that way."""
    accounts = REQUEST | {"method": "eth_accounts"}
    assert requests.post(allowing.http, json=accounts, headers={"Origin": ORIGIN}, timeout=30).json()["result"] == []


@pytest.mark.parametrize("origin", [ORIGIN, "https://remix.ethereum.org.example", "null"])
def test_a_page_that_was_not_allowed(proxy: Proxy, origin: str) -> None:
    preflight = requests.options(proxy.http, headers=PREFLIGHT | {"Origin": origin}, timeout=30)
    assert preflight.status_code == 403
    assert "Access-Control-Allow-Origin" not in preflight.headers
    answer = requests.post(proxy.http, json=REQUEST, headers={"Origin": origin}, timeout=30)
    assert answer.status_code == 403
    assert "result" not in answer.json()


def test_another_page_than_the_allowed_one(allowing: Proxy) -> None:
    answer = requests.post(allowing.http, json=REQUEST, headers={"Origin": "https://evil.example"}, timeout=30)
    assert answer.status_code == 403
