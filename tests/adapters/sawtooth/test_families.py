"""The built-in families beside intkey: what they accept, what they refuse, and where they keep it."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from typing import Any

import pytest

from adapters.sawtooth.addresses import BLOCK_INFO_CONFIG, block_info_address, policy_address, role_address
from adapters.sawtooth.addresses import setting_address as place
from adapters.sawtooth.families.messages import FAMILY_MESSAGES
from adapters.sawtooth.families.smallbank import account_address
from adapters.sawtooth.families.xo import xo_address
from adapters.sawtooth.wire.messages import MessageType, parse
from tests.adapters.sawtooth.support import SETTINGS, Bench, Client, Signed

KEYS = "sawtooth.settings.vote.authorized_keys"
THRESHOLD = "sawtooth.settings.vote.approval_threshold"
PROPOSALS = "sawtooth.settings.vote.proposals"


def at(bench: Bench, address: str) -> bytes:
    return bytes(bench.ask(MessageType.CLIENT_STATE_GET_REQUEST, address=address).value)


def setting(bench: Bench, key: str) -> str | None:
    found = parse("Setting", at(bench, place(key)))
    return next((entry.value for entry in found.entries if entry.key == key), None)


def message(name: str, /, **fields: Any) -> bytes:
    return bytes(FAMILY_MESSAGES[name](**fields).SerializeToString())


def settings_batch(client: Client, action: int, data: bytes) -> Signed:
    payload = message("SettingsPayload", action=action, data=data)
    return client.batch(client.transaction("sawtooth_settings", payload, ["000000"]))


def propose(client: Client, key: str, value: str, nonce: str = "") -> tuple[Signed, str]:
    data = message("SettingProposal", setting=key, value=value, nonce=nonce)
    return settings_batch(client, 1, data), hashlib.sha256(data).hexdigest()


def vote(client: Client, proposal_id: str, accept: bool = True) -> Signed:
    return settings_batch(client, 2, message("SettingVote", proposal_id=proposal_id, vote=1 if accept else 2))


def with_keys(*clients: Client, **more: str) -> Bench:
    state = {KEYS: ",".join(client.key for client in clients)} | more
    return Bench(SETTINGS | {"settings": state})


def test_addresses_are_sawtooths() -> None:
    """Vectors of the settings and identity specifications."""
    assert place("sawtooth.settings.vote.proposals").startswith("000000a87cb5eafdcca6a8")
    assert place("a.b.c.d.e").endswith(hashlib.sha256(b"d.e").hexdigest()[:16])
    assert policy_address("default").startswith("00001d00")
    assert len(role_address("transactor.batch_signer")) == len(policy_address("p")) == len(place("a")) == 70
    assert (xo_address("g")[:6], account_address(1)[:6]) == ("5b7349", "332514")


# Settings.


def test_a_setting_of_one_key() -> None:
    client = Client()
    bench = with_keys(client)
    bench.commit(propose(client, "my.setting", "10")[0])
    assert setting(bench, "my.setting") == "10"


def test_a_vote() -> None:
    one, two, three = clients = [Client(seed) for seed in range(3)]
    bench = with_keys(*clients)
    bench.commit(propose(one, THRESHOLD, "2")[0])
    batch, proposal_id = propose(one, "my.setting", "10")
    bench.commit(batch)
    candidates = FAMILY_MESSAGES["SettingCandidates"].FromString(b64decode(setting(bench, PROPOSALS) or ""))
    assert [(c.proposal_id, len(c.votes)) for c in candidates.candidates] == [(proposal_id, 1)]
    assert "already has voted" in bench.invalid(vote(one, proposal_id))
    assert "does not exist" in bench.invalid(vote(two, "00"))
    bench.commit(vote(two, proposal_id, accept=False))
    assert setting(bench, "my.setting") is None
    bench.commit(vote(three, proposal_id))
    assert (setting(bench, "my.setting"), setting(bench, PROPOSALS)) == ("10", "")


def test_a_vote_that_is_lost() -> None:
    one, two, three = clients = [Client(seed) for seed in range(3)]
    bench = with_keys(*clients, **{THRESHOLD: "2"})
    batch, proposal_id = propose(one, "my.setting", "10")
    bench.commit(batch, vote(two, proposal_id, accept=False))
    bench.commit(vote(three, proposal_id, accept=False))
    assert (setting(bench, "my.setting"), setting(bench, PROPOSALS)) == (None, "")
    assert "does not exist" in bench.invalid(vote(two, proposal_id))


def test_what_settings_refuses() -> None:
    client, stranger = Client(1), Client(2)
    bench = with_keys(client)
    assert "not authorized" in bench.invalid(propose(stranger, "my.setting", "1")[0])
    assert "must be an integer" in bench.invalid(propose(client, THRESHOLD, "x")[0])
    assert "less than or equal" in bench.invalid(propose(client, THRESHOLD, "2")[0])
    assert "must not be empty" in bench.invalid(propose(client, KEYS, " , ")[0])
    assert "read-only" in bench.invalid(propose(client, PROPOSALS, "x")[0])
    assert "one of" in bench.invalid(settings_batch(client, 0, b""))
    assert "unmarshal" in bench.invalid(settings_batch(client, 1, b"\xff"))
    empty = Bench()
    assert "until authorized_keys is set" in empty.invalid(propose(client, "my.setting", "1")[0])
    empty.commit(propose(client, KEYS, client.key)[0], propose(client, "my.setting", "1")[0])


def test_a_proposal_twice() -> None:
    one, two = Client(1), Client(2)
    bench = with_keys(one, two, **{THRESHOLD: "2"})
    bench.commit(propose(one, "my.setting", "10")[0])
    assert "Duplicate proposal" in bench.invalid(propose(one, "my.setting", "10")[0])


# Identity.


def identity_batch(client: Client, kind: int, data: bytes) -> Signed:
    payload = message("IdentityPayload", type=kind, data=data)
    return client.batch(client.transaction("sawtooth_identity", payload, ["00001d", "000000"], outputs=["00001d"]))


def policy(client: Client, name: str, *entries: tuple[int, str]) -> Signed:
    found = [{"type": kind, "key": key} for kind, key in entries]
    return identity_batch(client, 1, message("Policy", name=name, entries=found))


def role(client: Client, name: str, policy_name: str) -> Signed:
    return identity_batch(client, 2, message("Role", name=name, policy_name=policy_name))


ALLOWED = "sawtooth.identity.allowed_keys"


def test_policies_and_roles() -> None:
    client = Client()
    bench = Bench(SETTINGS | {"settings": {ALLOWED: client.key}})
    bench.commit(policy(client, "p", (1, "*")), role(client, "transactor", "p"), policy(client, "p", (1, client.key)))
    assert [one.name for one in parse("RoleList", at(bench, role_address("transactor"))).roles] == ["transactor"]
    (found,) = parse("PolicyList", at(bench, policy_address("p"))).policies
    assert [entry.key for entry in found.entries] == [client.key]


def test_what_identity_refuses() -> None:
    client, stranger = Client(1), Client(2)
    bench = Bench(SETTINGS | {"settings": {ALLOWED: f"{client.key},x"}})
    assert "not authorized" in bench.invalid(policy(stranger, "p", (1, "*")))
    assert "not authorized" in Bench().invalid(policy(client, "p", (1, "*")))
    assert "At least one entry" in bench.invalid(policy(client, "p"))
    assert "name must be set" in bench.invalid(policy(client, "", (1, "*")))
    assert "must have a key" in bench.invalid(policy(client, "p", (1, "")))
    assert "is not set" in bench.invalid(role(client, "transactor", "absent"))
    assert "policy name" in bench.invalid(role(client, "transactor", ""))
    assert "either a ROLE or a POLICY" in bench.invalid(identity_batch(client, 0, b""))


@pytest.mark.parametrize(
    "name",
    ["transactor", "transactor.batch_signer", "transactor.transaction_signer", "transactor.transaction_signer.intkey"],
)
def test_transactor_permissions(name: str) -> None:
    client, stranger = Client(1), Client(2)
    bench = Bench(SETTINGS | {"settings": {ALLOWED: client.key}})
    bench.commit(policy(client, "p", (2, stranger.key), (1, "*")), role(client, name, "p"))
    assert bench.refused(stranger.set("a", 1)) == 3
    bench.commit(client.set("a", 1))


def test_the_default_policy_ends_with_no() -> None:
    client, stranger = Client(1), Client(2)
    bench = Bench(SETTINGS | {"settings": {ALLOWED: client.key}})
    bench.commit(policy(client, "default", (1, client.key)))
    assert bench.refused(stranger.set("a", 1)) == 3
    bench.commit(client.set("a", 1))


# XO.


def xo(client: Client, text: str, game: str = "game") -> Signed:
    return client.batch(client.transaction("xo", text.encode(), [xo_address(game)]))


def test_a_game_is_won() -> None:
    bench, one, two = Bench(), Client(1), Client(2)
    bench.commit(xo(one, "game,create,"))
    for client, space in ((one, 1), (two, 4), (one, 2), (two, 5), (one, 3)):
        bench.commit(xo(client, f"game,take,{space}"))
    assert at(bench, xo_address("game")) == f"game,XXXOO----,P1-WIN,{one.key},{two.key}".encode()
    assert "Game has ended" in bench.invalid(xo(two, "game,take,9"))
    bench.commit(xo(two, "game,delete,"))
    assert at(bench, xo_address("game")) == b""


def test_a_game_is_a_tie() -> None:
    bench, one, two = Bench(), Client(1), Client(2)
    bench.commit(xo(one, "game,create,"))
    for turn, space in enumerate((1, 2, 3, 5, 4, 6, 8, 7, 9)):
        bench.commit(xo((one, two)[turn % 2], f"game,take,{space}"))
    assert b",TIE," in at(bench, xo_address("game"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("game,create,", "already exists"),
        ("other,take,1", "requires an existing game"),
        ("other,delete,", "does not exist"),
        ("game,take,1", "Not this player's turn"),
        ("game,take,0", "1 to 9"),
        ("game,take,x", "1 to 9"),
        ("game,jump,1", "Invalid action"),
        ("game,,1", "Action is required"),
        (",create,", "Name is required"),
        ("a|b,create,", 'cannot contain "|"'),
        ("game", "Invalid payload serialization"),
    ],
)
def test_what_xo_refuses(text: str, reason: str) -> None:
    bench, one, two = Bench(), Client(1), Client(2)
    bench.commit(xo(one, "game,create,"), xo(one, "game,take,1"), xo(two, "game,take,2"))
    address = text.split(",")[0]
    assert reason in bench.invalid(xo(two, text, address))
    assert "space 2 already taken" in bench.invalid(xo(one, "game,take,2"))


# Smallbank.


def bank(client: Client, kind: int, *customers: int, **fields: Any) -> Signed:
    payload = message("SmallbankPayload", payload_type=kind, **fields)
    return client.batch(client.transaction("smallbank", payload, [account_address(one) for one in customers]))


def balances(bench: Bench, customer: int) -> tuple[int, int]:
    account = FAMILY_MESSAGES["Account"].FromString(at(bench, account_address(customer)))
    return account.savings_balance, account.checking_balance


def account(client: Client, customer: int, savings: int, checking: int) -> Signed:
    fields = {"customer_id": customer, "customer_name": "name"}
    fields |= {"initial_savings_balance": savings, "initial_checking_balance": checking}
    return bank(client, 1, customer, create_account=fields)


def test_smallbank() -> None:
    bench, client = Bench(), Client()
    bench.commit(account(client, 1, 100, 50), account(client, 2, 10, 5))
    bench.commit(bank(client, 2, 1, deposit_checking={"customer_id": 1, "amount": 7}))
    bench.commit(bank(client, 3, 1, write_check={"customer_id": 1, "amount": 2}))
    bench.commit(bank(client, 4, 1, transact_savings={"customer_id": 1, "amount": -40}))
    assert balances(bench, 1) == (60, 55)
    bench.commit(bank(client, 5, 1, 2, send_payment={"source_customer_id": 1, "dest_customer_id": 2, "amount": 55}))
    bench.commit(bank(client, 6, 1, 2, amalgamate={"source_customer_id": 1, "dest_customer_id": 2}))
    assert (balances(bench, 1), balances(bench, 2)) == ((0, 0), (10, 120))
    bench.commit(bank(client, 5, 2, send_payment={"source_customer_id": 2, "dest_customer_id": 2, "amount": 20}))
    bench.commit(bank(client, 6, 2, amalgamate={"source_customer_id": 2, "dest_customer_id": 2}))
    assert balances(bench, 2) == (0, 130)


def test_what_smallbank_refuses() -> None:
    bench, client = Bench(), Client()
    bench.commit(account(client, 1, 100, 50))
    assert "must be set" in bench.invalid(account(client, 1, 1, 1))
    assert "must exist" in bench.invalid(bank(client, 2, 9, deposit_checking={"customer_id": 9, "amount": 7}))
    assert "32 bits" in bench.invalid(bank(client, 2, 1, deposit_checking={"customer_id": 1, "amount": 2**32 - 1}))
    assert "32 bits" in bench.invalid(bank(client, 3, 1, write_check={"customer_id": 1, "amount": 51}))
    assert "Insufficient" in bench.invalid(bank(client, 4, 1, transact_savings={"customer_id": 1, "amount": -101}))
    payment = {"source_customer_id": 1, "dest_customer_id": 2, "amount": 1}
    assert "Both source and dest" in bench.invalid(bank(client, 5, 1, 2, send_payment=payment))
    assert "type unset" in bench.invalid(bank(client, 0))


# Block info.


def test_block_info_is_injected_where_the_settings_ask_for_it() -> None:
    bench, client = Bench(SETTINGS | {"settings": {"sawtooth.validator.batch_injectors": "block_info"}}), Client()
    for number in range(3):
        bench.commit(client.set(f"n{number}", 1))
    newest, second, first, genesis = bench.blocks()
    config = parse("BlockInfoConfig", at(bench, BLOCK_INFO_CONFIG))
    assert (config.oldest_block, config.latest_block, config.target_count, config.sync_tolerance) == (0, 2, 256, 300)
    for number, block in enumerate((genesis, first, second)):
        info = parse("BlockInfo", at(bench, block_info_address(number)))
        assert (info.block_num, info.header_signature) == (number, block.header_signature)
    assert len(newest.batches) == len(parse("BlockHeader", newest.header).batch_ids) == 2
    assert at(bench, block_info_address(3)) == b""


def test_block_info_of_nobody_else() -> None:
    bench, client = Bench(SETTINGS | {"settings": {"sawtooth.validator.batch_injectors": "block_info"}}), Client()
    bench.commit(client.set("a", 1))
    (genesis,) = bench.blocks()[1:]
    block = {"block_num": 7, "previous_block_id": genesis.header_signature, "signer_public_key": client.key}
    payload = message("BlockInfoTxn", block=block | {"header_signature": genesis.header_signature})
    forged = client.batch(client.transaction("block_info", payload, ["00b10c"]))
    assert "latest block calculated" in bench.invalid(forged)
    assert len(bench.blocks()) == 2


def test_without_the_setting_nothing_is_injected() -> None:
    bench, client = Bench(), Client()
    bench.commit(client.set("a", 1))
    assert len(bench.blocks()[0].batches) == 1
    assert at(bench, BLOCK_INFO_CONFIG) == b""


# The setting sawtooth.validator.transaction_families.

FAMILIES = "sawtooth.validator.transaction_families"


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        ('[{"family": "intkey", "version": "1.0", "namespaces": ["1cf126"]}]', ""),
        ('[{"family": "intkey", "version": "1.0"}]', ""),
        ('[{"family": "xo", "version": "1.0"}]', "does not name the family intkey 1.0"),
        ('[{"family": "intkey", "version": "2.0"}]', "does not name"),
        ('[{"family": "intkey", "version": "1.0", "namespaces": ["aaaaaa"]}]', "all of these outputs"),
        ("not json", ""),
        ("[]", ""),
    ],
)
def test_the_families_that_are_allowed(value: str, refused: str) -> None:
    bench, client = Bench(SETTINGS | {"settings": {FAMILIES: value}}), Client()
    if refused:
        assert refused in bench.invalid(client.set("a", 1))
    else:
        bench.commit(client.set("a", 1))
