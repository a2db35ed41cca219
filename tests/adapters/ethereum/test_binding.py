"""Binding addresses to identities: what does not bind, and what moves."""

from __future__ import annotations

import pytest

from adapters.ethereum.binding import BindingMessages, recover_message_signer
from adapters.jsonrpc import RpcError
from tests.adapters.ethereum.rpc_support import COMPETITOR, RECIPIENT, SENDER, RpcNetwork, account, sign_text

NOW_S = 1_700_000_000
KEY = account(77)
ADDRESS = bytes.fromhex(KEY.address[2:])
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
NOT_OURS = "not the message that this node wrote"


@pytest.fixture
def messages() -> BindingMessages:
    return BindingMessages(b"s" * 32, network="Test net/ä", chain_id=1337)


def test_message_is_eip_4361(messages: BindingMessages) -> None:
    lines = messages.write("org é\nadmin", ADDRESS, NOW_S).split("\n")
    nonce = lines[8].removeprefix("Nonce: ")
    assert len(nonce) == 32
    assert lines == [
        "test-20net-2F-C3-A4 wants you to sign in with your Ethereum account:",
        KEY.address,
        "",
        "Bind this address to the identity org %C3%A9%0Aadmin of the Coco network Test net/%C3%A4.",
        "",
        "URI: coco://test-20net-2F-C3-A4",
        "Version: 1",
        "Chain ID: 1337",
        f"Nonce: {nonce}",
        "Issued At: 2023-11-14T22:13:20Z",
        "Expiration Time: 2023-11-14T22:23:20Z",
    ]


def test_verify_accepts_its_own_message_until_it_expires(messages: BindingMessages) -> None:
    text = messages.write("alice", ADDRESS, NOW_S)
    for now_s in (NOW_S - 1, NOW_S, NOW_S + 600):
        assert messages.verify(text, ADDRESS, "alice", now_s) == NOW_S


@pytest.mark.parametrize("now_s", [NOW_S + 601, NOW_S - 61, NOW_S + 10**9])
def test_expired_or_future_message(messages: BindingMessages, now_s: int) -> None:
    with pytest.raises(RpcError, match="expired"):
        messages.verify(messages.write("alice", ADDRESS, NOW_S), ADDRESS, "alice", now_s)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("alice", "bob"),
        (KEY.address, account(78).address),
        (KEY.address, KEY.address.lower()),
        ("1337", "1"),
        ("Version: 1", "Version: 2"),
        ("Issued At: 2023-11-14T22:13:20Z", "Issued At: 2023-11-14T22:13:21Z"),
        ("Expiration Time: 2023-11-14T22:23:20Z", "Expiration Time: 2033-11-14T22:23:20Z"),
        ("Issued At: 2023-11-14T22:13:20Z", "Issued At: 2023-11-14T22:13:20Z "),
        ("Issued At: 2023-11-14T22:13:20Z", "Issued At: 2023-13-14T22:13:20Z"),
        ("Issued At", "issued at"),
        ("Nonce: ", "Nonce: 0"),
        ("\n\nURI", "\r\n\r\nURI"),
        ("coco://", "http://"),
    ],
)
def test_changed_message(messages: BindingMessages, old: str, new: str) -> None:
    text = messages.write("alice", ADDRESS, NOW_S)
    assert old in text
    with pytest.raises(RpcError, match=NOT_OURS):
        messages.verify(text.replace(old, new), ADDRESS, "alice", NOW_S)


@pytest.mark.parametrize("text", ["", "\n" * 10, "\n" * 10_000, "x\n0x" + "a" * 40 + "\n" * 9, "\ud800"])
def test_text_that_is_no_message(messages: BindingMessages, text: str) -> None:
    with pytest.raises(RpcError, match=NOT_OURS):
        messages.verify(text, ADDRESS, "alice", NOW_S)


def test_message_for_another_identity_or_of_another_start(messages: BindingMessages) -> None:
    text = messages.write("alice", ADDRESS, NOW_S)
    with pytest.raises(RpcError, match=NOT_OURS):
        messages.verify(text, ADDRESS, "bob", NOW_S)
    other = BindingMessages(b"t" * 32, network="Test net/ä", chain_id=1337)
    with pytest.raises(RpcError, match=NOT_OURS):
        other.verify(text, ADDRESS, "alice", NOW_S)


def test_signature_by_another_key(messages: BindingMessages) -> None:
    with pytest.raises(RpcError, match="not by the address"):
        messages.verify(messages.write("alice", ADDRESS, NOW_S), b"\x01" * 20, "alice", NOW_S)


def test_recovery_of_personal_sign() -> None:
    signature = bytes.fromhex(sign_text(KEY, "hello ä")[2:])
    assert recover_message_signer("hello ä", signature) == ADDRESS
    assert recover_message_signer("hello ä", signature[:64] + bytes((signature[64] - 27,))) == ADDRESS
    assert recover_message_signer("hello", signature) != ADDRESS


def test_malformed_signatures() -> None:
    good = bytes.fromhex(sign_text(KEY, "hello")[2:])
    high_s = good[:32] + (N - int.from_bytes(good[32:64], "big")).to_bytes(32, "big") + bytes((good[64] ^ 7,))
    bad = [b"", good[:64], good + b"\x00", good[:64] + b"\x1d", bytes(64) + b"\x1b", high_s]
    bad.append(N.to_bytes(32, "big") + good[32:])
    for signature in bad:
        with pytest.raises(RpcError, match="personal_sign"):
            recover_message_signer("hello", signature)
    with pytest.raises(RpcError, match="personal_sign"):
        recover_message_signer("x" * 5_000, good)


# End to end.


async def test_unbound_sender_is_refused_and_told_how_to_bind() -> None:
    network = await RpcNetwork(bind=False).ready()
    key = network.accounts[SENDER]
    raw = network.sign(key, to=key.address, nonce=0)
    code, text = await network.error("eth_sendRawTransaction", raw)
    assert code == -32001
    assert "coco account bind" in text
    assert key.address in text
    assert await network.call("coco_boundAddresses") == []
    assert await network.bind(SENDER, key) == {"address": key.address, "identity": "sender"}
    assert await network.call("coco_boundAddresses") == [key.address]
    assert len(await network.call("eth_sendRawTransaction", raw)) == 66


@pytest.mark.parametrize("policy", ["members", "public", "private"])
async def test_others_accounts_look_like_unbound_ones(policy: str) -> None:
    network = await RpcNetwork(policy=policy).ready()
    for key in (network.accounts[RECIPIENT], account(50)):
        for nonce in (0, 7):
            code, text = await network.error("eth_sendRawTransaction", network.sign(key, nonce=nonce, to=key.address))
            assert code == -32001
            assert text.replace(key.address, "X") == (
                "address X is not bound to your identity; bind it first: coco account bind"
            )
        for method in ("eth_call", "eth_estimateGas"):
            assert (await network.error(method, {"from": key.address, "to": key.address})) == (code, text)


async def test_signature_of_another_key_binds_nothing() -> None:
    network = await RpcNetwork(bind=False).ready()
    message = await network.call("coco_bindMessage", KEY.address)
    code, _ = await network.error("coco_bind", message, sign_text(account(5), message))
    assert code == -32001
    assert (await network.error("coco_bind", message, sign_text(KEY, message), caller=COMPETITOR))[0] == -32001
    assert await network.call("coco_boundAddresses") == []
    assert await network.call("coco_boundAddresses", caller=COMPETITOR) == []


async def test_message_expires_and_is_of_one_network() -> None:
    network = await RpcNetwork(bind=False).ready()
    message = await network.call("coco_bindMessage", KEY.address)
    network.harness.advance_clock(601_000)
    assert "expired" in (await network.error("coco_bind", message, sign_text(KEY, message)))[1]
    message = await network.call("coco_bindMessage", KEY.address)
    network.harness.adapter._executor._messages.use(b"another network's secret, 32 byte")  # type: ignore[attr-defined]
    assert NOT_OURS in (await network.error("coco_bind", message, sign_text(KEY, message)))[1]


async def test_another_node_of_the_network_takes_a_message_back() -> None:
    network = await RpcNetwork(bind=False).ready()
    message = await network.call("coco_bindMessage", KEY.address)
    network.harness.restart()  # A new adapter on the same ledger: as another node has it.
    await network.call("coco_bind", message, sign_text(KEY, message))
    assert await network.call("coco_boundAddresses") == [KEY.address]


async def test_binding_survives_a_restart() -> None:
    network = await RpcNetwork().ready()
    network.harness.restart()
    assert await network.call("coco_boundAddresses") == [network.accounts[SENDER].address]
    await network.send(SENDER, to=KEY.address, value=1)


async def test_binding_again_moves_the_address_and_cannot_be_replayed_back() -> None:
    network = await RpcNetwork(bind=False).ready()
    first = await network.call("coco_bindMessage", KEY.address)
    await network.call("coco_bind", first, sign_text(KEY, first))
    await network.call("coco_bind", first, sign_text(KEY, first))
    assert await network.call("coco_boundAddresses") == [KEY.address]
    network.harness.advance_clock(1_000)
    await network.bind(RECIPIENT, KEY)
    assert await network.call("coco_boundAddresses") == []
    assert await network.call("coco_boundAddresses", caller=RECIPIENT) == [KEY.address]
    code, text = await network.error("coco_bind", first, sign_text(KEY, first))
    assert (code, "newer" in text) == (-32001, True)
    assert (await network.error("eth_sendRawTransaction", network.sign(KEY, nonce=0, to=KEY.address)))[0] == -32001


async def test_several_addresses_keep_their_order() -> None:
    network = await RpcNetwork(bind=False).ready()
    keys = [account(number) for number in (60, 40, 50)]
    for key in keys:
        await network.bind(SENDER, key)
    assert await network.call("coco_boundAddresses") == [key.address for key in keys]


async def test_bound_on_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.ethereum.binding.ADDRESSES_PER_IDENTITY_MAX", 2)
    network = await RpcNetwork(bind=False).ready()
    for number in (60, 61):
        await network.bind(SENDER, account(number))
    message = await network.call("coco_bindMessage", KEY.address)
    assert (await network.error("coco_bind", message, sign_text(KEY, message)))[0] == -32000
    assert len(await network.call("coco_boundAddresses")) == 2
