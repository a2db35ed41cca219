"""Neither the host's disk nor its network shows what the parties said. The whole story is played through a relay."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from web3 import HTTPProvider, Web3

from examples.supply_chain import story
from tests.support.relay import RecordingRelay

PARTIES = ("manufacturer", "carrier", "retailer", "competitor")


def forms(secret: bytes) -> Iterator[bytes]:
    """Yield the ways a plaintext could stand in a file or on a wire."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield secret.decode("latin-1").encode("utf-16-le")
    # A base64 text holds a string at one of three offsets; the ends, which mix with neighbours, are cut.
    for shift in range(3):
        yield base64.b64encode(bytes(shift) + secret)[4:-4]


def places_of(secrets: Iterable[bytes], files: Iterable[Path]) -> list[str]:
    wanted = [(secret, form) for secret in secrets for form in forms(secret)]
    found = []
    for file in files:
        content = file.read_bytes()
        found += [f"{secret!r} in {file.name}" for secret, form in wanted if form in content]
    return found


def everything_under(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()]


@pytest.fixture
def played(make_network: Callable[..., Any], tmp_path: Path) -> Iterator[tuple[Any, dict[str, Any], list[bytes], Path]]:
    """Play the story through a recording relay; returns network, parties, transaction hashes and the recording."""
    network = make_network("story", *(word for name in PARTIES for word in ("--organisation", name)))
    recording = tmp_path / "recording"
    recording.touch()
    port = int(network.connect("carrier").url.rsplit(":", 1)[1])
    with RecordingRelay(port, recording) as relay:
        parties = {}
        for name in PARTIES:
            connection = network.connect(name)
            connection.url = f"https://localhost:{relay.port}"
            account: LocalAccount = network.new_account(connection)
            parties[name] = story.Party(name, relayed_web3(connection), account)
        manufacturer, carrier, retailer = (parties[name] for name in PARTIES[:3])
        hashes = story.play(manufacturer, carrier, retailer, [parties["competitor"]], lambda _: None)
        yield network, parties, hashes, recording


def relayed_web3(connection: Any) -> Web3:
    options = {"headers": {"Authorization": f"Bearer {connection.token}"}, "verify": str(connection.ca_file)}
    return Web3(HTTPProvider(connection.url, request_kwargs=options))


def test_no_plaintext_on_the_hosts_disk_or_wire(played: tuple[Any, dict[str, Any], list[bytes], Path]) -> None:
    network, parties, hashes, recording = played
    views = {name: story.view_of(party, hashes) for name, party in parties.items()}
    secrets = [text.encode() for text in story.SECRETS]
    secrets += [story.SHIPMENT, *(bytes(each) for each in hashes)]
    secrets += [bytes.fromhex(party.account.address[2:]) for party in parties.values()]
    secrets += [party.account.key for party in parties.values()]
    secrets += [connection.token.encode() for connection in network.connections]

    files = everything_under(network.host_directory)
    assert sum(file.stat().st_size for file in files) > 10_000
    assert recording.stat().st_size > 50_000
    assert places_of(secrets, [*files, recording]) == []
    network.coco("network", "stop", "story")
    assert places_of(secrets, [*everything_under(network.host_directory), recording]) == []
    # The search would have found them: they stand in what the manufacturer read, and the search finds that.
    assert story.GOODS in views["manufacturer"].goods
    shown = recording.with_name("shown")
    shown.write_text(views["manufacturer"].goods)
    assert places_of(secrets, [shown]) == [f"{story.GOODS.encode()!r} in shown"]


def test_each_party_sees_its_part_and_the_competitor_nothing(
    played: tuple[Any, dict[str, Any], list[bytes], Path],
) -> None:
    _, parties, hashes, _ = played
    views = {name: story.view_of(party, hashes) for name, party in parties.items()}

    assert story.GOODS in views["manufacturer"].goods
    assert story.DESTINATION in views["manufacturer"].leg
    assert story.DESTINATION in views["carrier"].leg
    assert "refused" in views["carrier"].goods
    assert story.GOODS in views["retailer"].goods
    assert "refused" in views["retailer"].leg
    for name in ("manufacturer", "carrier", "retailer"):
        assert views[name].status == f"received ({story.CONDITION})"
        assert views[name].logs > 0

    competitor = views["competitor"]
    assert (competitor.logs, competitor.block_transactions) == (0, 0)
    assert (competitor.transactions_found, competitor.receipts_found) == (0, 0)
    assert all("refused" in text for text in (competitor.leg, competitor.goods, competitor.status))
    block = parties["competitor"].web3.eth.get_block("latest")
    assert (block["gasUsed"], int.from_bytes(block["logsBloom"], "big")) == (0, 0)
