"""Random cases from a seed: one number gives the same case for ever, on every machine."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from random import Random

from eth.vm.forks.cancun.constants import BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CONTRACT_CODE
from eth.vm.forks.prague.constants import HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CONTRACT_CODE

from tests.fuzz import constants as c
from tests.fuzz.case import CHAIN_ID, Account, Authorization, Case, Tx
from tests.fuzz.eels import ROOT
from tests.fuzz.precompile_inputs import precompile_input, word
from tests.fuzz.results import contract_address
from tests.fuzz.signing import KEYS
from tests.fuzz.statements import make_init_code, make_program, make_recursion

ETHER = 10**18
GAS_MAX = 400_000
BLAKE2 = 9
DEEP_GAS = 20_000_000


def make_case(seed: int, fork: str, number: int) -> tuple[Case, set[str]]:
    """Return case `number` of a seed and the kinds of statements in its programs."""
    random = Random(f"{seed}/{fork}/{number}")
    kinds: set[str] = set()
    is_prague = fork == "prague"
    base_fee, free = random.choice(((7, False), (7, False), (10**9, False), (0, False), (0, True)))
    accounts = _accounts(random, is_prague, kinds)
    case = Case(
        fork,
        accounts,
        (),
        base_fee=base_fee,
        free=free,
        number=random.choice((1, 2, 255, 256, 300)),
        timestamp=1_700_000_000 + random.randrange(10_000),
        coinbase=random.choice((c.COINBASE, c.COINBASE, c.COINBASE, c.SENDERS[0], bytes(20))),
        prevrandao=random.randbytes(32),
        note=f"seed {seed}, {fork}, number {number}",
    )
    shape = random.random()
    if shape < 0.04:
        transactions = _gas_sweep(random, case)
    elif shape < 0.043:
        kinds.add("deep recursion")
        deep = Account(1, 0, make_recursion(random))
        case = replace(case, accounts={**accounts, c.CONTRACTS[0]: deep})
        transactions = (Tx(2, 0, DEEP_GAS, c.CONTRACTS[0], fee=case.base_fee),)
    elif shape < 0.053:
        kinds.add("precompiles alone")
        transactions = tuple(_precompile_alone(random, case) for _ in range(6))
    else:
        count = random.choice((1, 1, 2, 2, 3, 4))
        transactions = tuple(_transaction(random, case, kinds) for _ in range(count))
    return replace(case, transactions=transactions), kinds


def _accounts(random: Random, is_prague: bool, kinds: set[str]) -> dict[bytes, Account]:
    accounts = {}
    for sender in c.SENDERS[: random.randint(2, KEYS)]:
        accounts[sender] = _sender(random, is_prague)
    for address in c.CONTRACTS[: random.randint(1, len(c.CONTRACTS))]:
        storage = {slot: random.choice((1, 2, 7, 2**256 - 1)) for slot in range(6) if random.random() < 0.35}
        balance = random.choice((0, 0, 1, 1000, ETHER))
        accounts[address] = Account(1, balance, _code(random, is_prague, kinds), storage)
    if random.random() < 0.1:
        accounts[c.NOBODY[0]] = Account(0, random.choice((1, ETHER)))
    if random.random() < 0.05:
        accounts[random.choice(c.PRECOMPILES)] = Account(0, 1)
    if random.random() < 0.03:
        _place_obstacle(random, accounts)
    if random.random() < 0.1:
        accounts[BEACON_ROOTS_ADDRESS] = Account(1, 0, BEACON_ROOTS_CONTRACT_CODE)
        if is_prague:
            accounts[HISTORY_STORAGE_ADDRESS] = Account(1, 0, HISTORY_STORAGE_CONTRACT_CODE)
    return accounts


def _sender(random: Random, is_prague: bool) -> Account:
    nonce = random.choice((0, 0, 0, 1, 5, 255, 2**64 - 3)) if random.random() < 0.5 else 0
    balance = random.choice((0, 1, 10**6, 10**12)) if random.random() < 0.06 else 100 * ETHER
    code = b""
    if is_prague and random.random() < 0.2:
        code = b"\xef\x01\x00" + random.choice((*c.CONTRACTS, *c.SENDERS, *c.PRECOMPILES[:4], *c.NOBODY))
    elif random.random() < 0.02:
        code = b"\x00"
    return Account(nonce, balance, code)


def _place_obstacle(random: Random, accounts: dict[bytes, Account]) -> None:
    """Put something where a creation will want to go: balance, nonce, code, or storage alone (EIP-7610)."""
    creator = random.choice(tuple(accounts))
    address = contract_address(creator, accounts[creator].nonce)
    kind = random.random()
    if kind < 0.25:
        accounts[address] = Account(0, 5)
    elif kind < 0.5:
        accounts[address] = Account(1, 0)
    elif kind < 0.75:
        accounts[address] = Account(0, 0, b"\x00")
    else:
        accounts[address] = Account(0, 1, b"", {0: 1})


def _code(random: Random, is_prague: bool, kinds: set[str]) -> bytes:
    kind = random.random()
    if kind < 0.04:
        return random.randbytes(random.randrange(1, 80))
    if kind < 0.08:
        code = random.choice(artifacts())[1]
        kinds.add("artifact")
    elif kind < 0.1 and is_prague:
        return b"\xef\x01\x00" + random.choice((*c.CONTRACTS, *c.PRECOMPILES))
    else:
        code = make_program(random, is_prague, random.choice((2, 4, 6, 10, 16)), kinds=kinds)
    return mutated(random, code) if random.random() < 0.15 else code


def mutated(random: Random, code: bytes) -> bytes:
    """Return code with a few bytes changed, added, left out, doubled or exchanged."""
    data = bytearray(code)
    for _ in range(random.choice((1, 1, 2, 4))):
        if not data:
            break
        start = random.randrange(len(data))
        end = min(len(data), start + random.choice((1, 1, 2, 8, 32)))
        match random.randrange(6):
            case 0:
                data[start] ^= 1 << random.randrange(8)
            case 1:
                data[start] = random.choice(tuple(c.OP.values()))
            case 2:
                data[start:start] = random.randbytes(end - start)
            case 3:
                del data[start:end]
            case 4:
                data[start:start] = data[start:end]
            case 5:
                piece = bytes(data[start:end])
                del data[start:end]
                place = random.randrange(len(data) + 1)
                data[place:place] = piece
    return bytes(data)


@lru_cache(maxsize=1)
def artifacts() -> list[tuple[bytes, bytes, tuple[bytes, ...]]]:
    """Return init code, code and the values after each PUSH4 (selectors among them) of the examples' contracts."""
    found = []
    for path in sorted((ROOT / "examples").glob("*/artifacts/*.json")):
        artifact = json.loads(path.read_text())
        code = bytes.fromhex(artifact["deployedBytecode"][2:])
        selectors = tuple(code[place + 1 : place + 5] for place in range(len(code) - 5) if code[place] == 0x63)
        found.append((bytes.fromhex(artifact["bytecode"][2:]), code, selectors))
    return found


def _call_data(random: Random, to: bytes | None) -> bytes:
    if to in c.PRECOMPILES and random.random() < 0.8:
        return precompile_input(random, to[-1])
    kind = random.random()
    if kind < 0.4:
        return b""
    if kind < 0.55:
        selectors = random.choice(artifacts())[2]
        words = [
            random.choice((word(random.choice(c.NUMBERS)), bytes(12) + random.choice(c.SENDERS))) for _ in range(3)
        ]
        return random.choice(selectors) + b"".join(words[: random.randrange(4)])
    if kind < 0.6:
        return random.choice((b"\x00", b"\x01")) * random.choice((100, 1000, 3000))
    return b"".join(word(random.choice(c.NUMBERS)) for _ in range(random.randrange(6)))


def _gas(random: Random) -> int:
    kind = random.random()
    if kind < 0.04:
        return random.choice((0, 20_999, 21_000, 21_001, 53_000))
    if kind < 0.55:
        return random.randint(21_000, GAS_MAX)
    if kind < 0.98:
        return GAS_MAX
    return random.choice((1_000_000, 2_000_000))


def _transaction(random: Random, case: Case, kinds: set[str]) -> Tx:
    is_prague = case.fork == "prague"
    tx_type = random.choice((0, 1, 2, 2, 4, 4) if is_prague else (0, 1, 2, 2))
    to, data, gas = _target(random, is_prague, kinds)
    if tx_type == 4 and to is None and random.random() < 0.9:
        tx_type = 2
    fee, tip = _fees(random, case)
    # Valid transactions most of the time; what is wrong with the others is one thing, or several.
    value = random.choice((1, 1, 1000, 1000, ETHER, ETHER, 100 * ETHER)) if random.random() < 0.25 else 0
    if random.random() < 0.01:
        value = random.choice((1000 * ETHER, 2**256 - 1))
    return Tx(
        type=tx_type,
        key=random.randrange(KEYS) if random.random() < 0.1 else random.randrange(2),
        gas=gas,
        to=to,
        value=value,
        data=data,
        fee=fee,
        tip=tip,
        nonce=random.choice((-1, 1)) if random.random() < 0.02 else 0,
        chain_id=random.choice((0, 1, CHAIN_ID + 1)) if random.random() < 0.01 else CHAIN_ID,
        access_list=_access_list(random) if tx_type else (),
        authorizations=_authorizations(random) if tx_type == 4 else (),
    )


def _target(random: Random, is_prague: bool, kinds: set[str]) -> tuple[bytes | None, bytes, int]:
    kind = random.random()
    if kind < 0.12:
        kinds.add("creation")
        code = make_init_code(random, is_prague, kinds)
        return None, mutated(random, code) if random.random() < 0.15 else code, _gas(random)
    if kind < 0.125:
        kinds.add("artifact creation")
        constructor = b"".join(word(random.choice((32, 64, 96, 128, 0))) for _ in range(6))
        return None, random.choice(artifacts())[0] + constructor, 2_000_000
    if kind < 0.84:
        to = random.choice(c.CONTRACTS)
    elif kind < 0.93:
        to = random.choice((*c.SENDERS, *c.NOBODY, c.COINBASE, bytes(20)))
    else:
        to = random.choice([address for address in c.PRECOMPILES if address[-1] not in (8, 12, 14, 15)])
    return to, _call_data(random, to), _gas(random)


def _fees(random: Random, case: Case) -> tuple[int, int]:
    if case.free:
        return 0, 0
    if random.random() < 0.03:
        # Too low, a tip above the fee, or more than the sender has.
        return random.choice(((max(0, case.base_fee - 1), 0), (case.base_fee, case.base_fee + 1), (10**17, 1)))
    fee = case.base_fee + random.choice((0, 1, 3, 1000))
    return fee, random.choice((0, 1, min(2, fee), fee))


def _access_list(random: Random) -> tuple[tuple[bytes, tuple[int, ...]], ...]:
    if random.random() < 0.6:
        return ()
    pool = (*c.CONTRACTS, *c.SENDERS, *c.NOBODY, *c.PRECOMPILES[:2], c.COINBASE)
    return tuple(
        (random.choice(pool), tuple(random.choice((0, 1, 2, 3, 2**256 - 1)) for _ in range(random.randrange(4))))
        for _ in range(random.randint(1, 3))
    )


def _authorizations(random: Random) -> tuple[Authorization, ...]:
    return tuple(_authorization(random) for _ in range(random.choice((0, 1, 1, 1, 2, 2, 3, 4)) or random.randrange(2)))


def _authorization(random: Random) -> Authorization:
    kind = random.random()
    if kind < 0.55:
        address = random.choice(c.CONTRACTS)
    elif kind < 0.7:
        # Chained, in a circle, or to oneself.
        address = random.choice(c.SENDERS)
    elif kind < 0.8:
        address = bytes(20)
    else:
        address = random.choice((*c.PRECOMPILES[:5], *c.NOBODY))
    return Authorization(
        key=random.randrange(KEYS),
        address=address,
        chain_id=random.choice((CHAIN_ID, CHAIN_ID, CHAIN_ID, CHAIN_ID, 0, 0, 1, 2**256 - 1)),
        nonce=random.choice((0,) * 12 + (-1, 1)),
        tamper=random.choice(("",) * 16 + ("high s", "parity", "r", "message", "nonce")),
    )


def _precompile_alone(random: Random, case: Case) -> Tx:
    """Call a precompile directly, among them those too slow for every program."""
    to = random.choice(c.PRECOMPILES)
    data = precompile_input(random, to[-1])
    gas = GAS_MAX if to[-1] != BLAKE2 else 60_000
    return Tx(2, 0, gas, to, 0, data, case.base_fee, 0)


def _gas_sweep(random: Random, case: Case) -> tuple[Tx, ...]:
    """The same call again and again, each time with a little more gas: out of gas at every point."""
    to = random.choice([address for address in c.CONTRACTS if address in case.accounts])
    start, step = 21_000, random.choice((50, 300, 2000))
    data = _call_data(random, None)
    fee = case.base_fee
    return tuple(
        Tx(2, 0, start + 16 * len(data) * (place == 0) + step * place + random.randrange(step), to, 0, data, fee, 0)
        for place in range(12)
    )
