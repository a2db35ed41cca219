"""How long one transaction can keep the executor busy: a full gas limit spent on one kind of instruction, kind by kind.

    python -m benchmarks.worst_case [--json] [--only NAME]...

Every program runs in plain py-evm (its own loop and precompiles; with less gas and scaled up where it takes long), in
the executor without a time limit, and in the executor as it is, where what takes too long is refused. Seconds are
processor time, so a busy machine changes them less; compare ratios of one run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any
from unittest.mock import patch

import coincurve
from eth._utils.blake2.compression import blake2b_compress
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.state import PragueState
from eth_account import Account
from py_ecc import optimized_bls12_381 as bls
from py_ecc import optimized_bn128 as bn128

from adapters.ethereum.chain import INDEXED_TABLES
from adapters.ethereum.compiler.computation import interpret
from adapters.ethereum.compiler.program import ProgramCache
from adapters.ethereum.evm import block_context
from adapters.ethereum.execution import BlockExecutor
from adapters.ethereum.genesis import write_genesis
from adapters.ethereum.keccak import keccak
from adapters.ethereum.settings import (
    TRANSACTION_GAS_LIMIT_DEFAULT,
    TRANSACTION_SECONDS_DEFAULT,
    AllocatedAccount,
    Settings,
)
from adapters.ethereum.transactions import decode_transaction
from adapters.ethereum.vm import _FlatState
from adapters.jsonrpc import RpcError
from core.adapter.interface import ANONYMOUS, ExecutionContext, ScopedTransaction
from core.kv.store import Store
from core.types import Seqno

GAS = TRANSACTION_GAS_LIMIT_DEFAULT
CONTRACT = b"\xcc" * 20
SENDER = Account.from_key(b"\x01" * 32)
SECONDS_ENOUGH = 0.3
"""A run of plain py-evm this long is scaled up to the full gas."""


@dataclass(frozen=True, slots=True)
class Program:
    """code runs until the gas is out; data is the transaction's."""

    name: str
    code: bytes
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds of processor time for the full gas. refused: by the time limit, after seconds_limited."""

    name: str
    seconds_before: float
    seconds_after: float
    ratio: float
    refused: bool
    seconds_limited: float


class PlainState(_FlatState, PragueState):  # type: ignore[misc]
    """py-evm as it comes, over our account database."""

    computation_class = PragueComputation


def programs() -> Iterator[Program]:
    """Yield a program for each class of instructions and each precompile."""
    yield from _computing()
    yield from _memory_and_state()
    yield from _calls()
    yield from _hashing_precompiles()
    yield from _curve_precompiles()


def loop(body: str, times: int = 200, before: str = "") -> bytes:
    """Return code that runs `before` once and `times` bodies again and again."""
    start = bytes.fromhex(before)
    return start + b"\x5b" + bytes.fromhex(body) * times + b"\x61" + len(start).to_bytes(2, "big") + b"\x56"


def _computing() -> Iterator[Program]:
    word = "7f" + "f3" * 32
    yield Program("JUMP", loop("", 0))
    yield Program("JUMPI", bytes.fromhex("5b60015f57"))
    yield Program("JUMPDEST", loop("5b", 20_000))
    yield Program("PUSH0 POP", loop("5f50", 10_000))
    yield Program("PUSH32 POP", loop(word + "50", 600))
    yield Program("DUP SWAP POP", loop("809050", 6_000, before=word))
    yield Program("PC GAS MSIZE CALLER", loop("5850" + "5a50" + "5950" + "3350", 2_000))
    for name, opcode in (("ADD", "01"), ("MUL", "02"), ("DIV", "04"), ("SDIV", "05"), ("SMOD", "07"), ("SAR", "1d")):
        yield Program(name, loop("80" + opcode, 6_000, before=word))
    yield Program("SIGNEXTEND BYTE", loop("600b0b" + "601e1a", 2_000, before=word))
    yield Program("ADDMOD", loop("80" * 2 + "08", 4_000, before=word))
    yield Program("MULMOD", loop("81818109" + "50", 3_000, before=word * 2))
    yield Program("EXP", loop("81810a50", 3_000, before=word * 2))


def _memory_and_state() -> Iterator[Program]:
    yield Program("MLOAD MSTORE", loop("5f515f52", 4_000))
    yield Program("MSTORE8", loop("5f5f53", 4_000))
    yield Program("memory growth", loop("59" + "5f" + "9052", 4_000))
    yield Program("MCOPY 32 KiB", loop("6180005f5f5e", 2_000))
    yield Program("CALLDATACOPY 32 KiB", loop("6180005f5f37", 2_000))
    yield Program("CODECOPY 32 KiB", loop("6180005f5f39", 2_000))
    yield Program("EXTCODECOPY 24 KiB", loop("6160005f5f30" + "3c", 2_000))
    yield Program("CALLDATALOAD", loop("5f3550", 4_000), b"\x01" * 1024)
    yield Program("KECCAK256 of nothing", loop("5f5f2050", 4_000))
    yield Program("KECCAK256 of 32 KiB", loop("6180005f2050", 2_000))
    yield Program("LOG0", loop("5f5fa0", 4_000))
    yield Program("LOG4 1 KiB", loop("5f5f5f5f6104005fa4", 1_000))
    yield Program("SLOAD, warm", loop("5f5450", 4_000))
    yield Program("SLOAD, cold", loop("5a5450", 3_000))
    yield Program("SSTORE, new slots", loop("60015a55", 3_000))
    yield Program("SSTORE, same slot", loop("5a5f55", 3_000))
    yield Program("TSTORE TLOAD", loop("5a5a5d5f5c50", 3_000))
    yield Program("BALANCE, cold", loop("5a31505a3f50", 3_000))
    yield Program("EXTCODESIZE, warm", loop("303b50", 3_000))
    yield Program("BLOCKHASH", loop("5f4050", 3_000))


def _calls() -> Iterator[Program]:
    address = "73" + CONTRACT.hex()
    for name, opcode, zeros in (("STATICCALL", "fa", 4), ("DELEGATECALL", "f4", 4), ("CALL", "f1", 5)):
        yield Program(f"{name} of itself", loop("5f" * zeros + "305a" + opcode + "50", 1))
    yield Program("STATICCALL of an empty account", loop("5f5f5f5f60ff5a" + "fa50", 1_000))
    yield Program("CALL with value", loop("5f5f5f5f600160ff5af150", 1_000))
    yield Program("CALL, then REVERT", _reverting(address))
    yield Program("CREATE of nothing", loop("5f5f5ff050", 1_000))
    yield Program("CREATE of 48 KiB that jump", _creating())


def _reverting(address: str) -> bytes:
    """Calls itself with data; a call with data reverts at once."""
    guard = "36156008575f5ffd5b"
    return loop("5f5f60205f5f" + address + "5af150", 500, before=guard)


def _creating() -> bytes:
    """Initcode of 48 KiB, another each time, which jumps to its last byte: all of it has to be looked at."""
    size, last = 49_152, 49_151
    # Memory: PUSH2 last JUMP, PUSH1 PUSH1 ..., JUMPDEST; the counter in byte 4..36 makes the code another one.
    start = bytes.fromhex("61" + last.to_bytes(2, "big").hex() + "56") + b"\x60\x60" * 14
    prepare = "7f" + start.hex() + "5f52" + "605b61" + last.to_bytes(2, "big").hex() + "53"
    return loop("5a602452" + "61" + size.to_bytes(2, "big").hex() + "5f5ff050", 100, before=prepare)


def _precompile(name: str, number: int, data: bytes) -> Program:
    """Copy the data to memory, then call the precompile with it again and again."""
    call = "5f5f365f60" + number.to_bytes(1, "big").hex() + "5afa50"
    return Program(name, loop(call, 500, before="365f5f37"), data)


def _hashing_precompiles() -> Iterator[Program]:
    digest = keccak(b"message")
    signature = coincurve.PrivateKey(b"\x05" * 32).sign_recoverable(digest, hasher=None)
    recovery = digest + (27 + signature[64]).to_bytes(32, "big") + signature[:64]
    yield _precompile("01 ECRECOVER", 1, recovery)
    for name, number in (("02 SHA256", 2), ("03 RIPEMD160", 3), ("04 IDENTITY", 4)):
        yield _precompile(f"{name} of nothing", number, b"")
        yield _precompile(f"{name} of 16 KiB", number, b"\x01" * 16_384)
    for words, bits in ((1, 1_000_000), (4, 2_048), (32, 2_048), (128, 3), (512, 1)):
        yield _precompile(f"05 MODEXP {64 * words} bits ** {bits} bits", 5, _modexp(8 * words, bits))
    for rounds in (1, 100_000):
        yield _precompile(f"09 BLAKE2F {rounds} rounds", 9, rounds.to_bytes(4, "big") + b"\x01" * 208 + b"\x01")
    yield Program("09 BLAKE2F all gas", _blake_at_once())
    yield _precompile("0a POINT EVALUATION", 10, bytes(192))


def _modexp(size: int, bits: int) -> bytes:
    exponent = ((1 << bits) - 1).to_bytes((bits + 7) // 8, "big")
    odd = b"\xff" * size
    sizes = [size, len(exponent), size]
    return b"".join(one.to_bytes(32, "big") for one in sizes) + b"\xee" * size + exponent + odd


def _blake_at_once() -> bytes:
    """Calls once with a round for nearly each gas."""
    rounds = GAS * 62 // 64 - 60_000
    store = "63" + rounds.to_bytes(4, "big").hex() + "60e01b5f52" + "600160d453"
    return bytes.fromhex(store + "5f5f60d55f60095afa00")


def _curve_precompiles() -> Iterator[Program]:
    big = (2**256 - 189).to_bytes(32, "big")
    yield _precompile("06 ECADD", 6, _bn(3) + _bn(5))
    yield _precompile("07 ECMUL", 7, _bn(3) + big)
    for pairs in (0, 1, 12):
        yield _precompile(f"08 ECPAIRING {pairs} pairs", 8, (_bn(3) + _bn_twist(5)) * pairs)
    g1, g2 = _bls(bls.G1, 3), _bls(bls.G2, 3)
    yield _precompile("0b BLS12_G1ADD", 11, g1 * 2)
    yield _precompile("0d BLS12_G2ADD", 13, g2 * 2)
    for count in (1, 64):
        yield _precompile(f"0c BLS12_G1MSM {count}", 12, (g1 + big) * count)
        yield _precompile(f"0e BLS12_G2MSM {count}", 14, (g2 + big) * count)
    for count in (1, 16):
        yield _precompile(f"0f BLS12_PAIRING {count} pairs", 15, (g1 + g2) * count)
    yield _precompile("10 BLS12_MAP_FP_TO_G1", 16, b"\x05".rjust(64, b"\x00"))
    yield _precompile("11 BLS12_MAP_FP2_TO_G2", 17, b"\x05".rjust(64, b"\x00") * 2)


def _bn(scalar: int) -> bytes:
    point = bn128.normalize(bn128.multiply(bn128.G1, scalar))
    return b"".join(int(one).to_bytes(32, "big") for one in point)


def _bn_twist(scalar: int) -> bytes:
    point = bn128.normalize(bn128.multiply(bn128.G2, scalar))
    return b"".join(int(one).to_bytes(32, "big") for pair in point for one in reversed(pair.coeffs))


def _bls(generator: Any, scalar: int) -> bytes:
    point = bls.normalize(bls.multiply(generator, scalar))
    numbers = [int(one) for item in point for one in getattr(item, "coeffs", (item,))]
    return b"".join(one.to_bytes(64, "big") for one in numbers)


def seconds(program: Program, gas: int, *, plain: bool = False, limit: float = 3600.0) -> tuple[float, bool]:
    """Run a program in a new network; return its processor time and whether it was refused."""
    funded = {bytes.fromhex(SENDER.address[2:]): AllocatedAccount(balance=10**24)}
    contract = AllocatedAccount(nonce=1, balance=10**18, code=program.code)
    settings = Settings(1337, "prague", {**funded, CONTRACT: contract}, predeploy=False, transaction_seconds_max=limit)
    store = Store({f"ethereum.{name}": length for name, length in INDEXED_TABLES.items()})
    # Whoever wants to do harm sends code that was never seen.
    executor = BlockExecutor(settings, programs=ProgramCache(interpret))
    context = ExecutionContext(Seqno(1), 1, 1_700_000_000, bytes(32), ANONYMOUS, bytes)
    transaction = ScopedTransaction(store.begin(), "ethereum")
    write_genesis(transaction, settings, context)
    store.commit(transaction.inner, Seqno(1))
    fields = {"nonce": 0, "gas": gas, "value": 0, "chainId": 1337, "maxFeePerGas": 0, "maxPriorityFeePerGas": 0}
    raw = SENDER.sign_transaction({**fields, "to": CONTRACT, "data": program.data}).raw_transaction
    signed = decode_transaction(bytes(raw), settings)
    transaction = ScopedTransaction(store.begin(), "ethereum")
    began = time.process_time()
    with ExitStack() as replaced:
        if plain:
            replaced.enter_context(patch("adapters.ethereum.execution.make_state", _plain_state))
            replaced.enter_context(patch("eth.precompiles.blake2.blake2b_compress", blake2b_compress))
        try:
            executor.execute(transaction, signed, context)
        except RpcError as error:
            if "timeout" not in error.message:
                raise
            return time.process_time() - began, True
    return time.process_time() - began, False


def _plain_state(database: Any, settings: Settings, environment: Any, deadline: Any, programs: Any = None) -> Any:
    return PlainState(database, block_context(settings, environment), environment.block_hash, deadline)


def before(program: Program) -> float:
    """Return what plain py-evm needs for the full gas, from the shortest run that is long enough."""
    intrinsic = 21_000 + 40 * len(program.data)
    share = 1 / 64
    while True:
        spent = seconds(program, intrinsic + int((GAS - intrinsic) * share), plain=True)[0]
        if spent >= SECONDS_ENOUGH or share >= 1:
            return spent / share
        share *= 4


def measure(program: Program) -> Result:
    """Measure one program in the three ways."""
    plain = before(program)
    ours, _ = seconds(program, GAS)
    limited, refused = (ours, False)
    if ours > TRANSACTION_SECONDS_DEFAULT * 0.9:
        limited, refused = seconds(program, GAS, limit=TRANSACTION_SECONDS_DEFAULT)
    return Result(program.name, round(plain, 2), round(ours, 2), round(plain / ours, 1), refused, round(limited, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", action="append", default=[], help="programs whose name contains this")
    arguments = parser.parse_args()
    found = []
    for program in programs():
        if arguments.only and not any(one in program.name for one in arguments.only):
            continue
        result = measure(program)
        found.append(result)
        if not arguments.json:
            end = "refused" if result.refused else "runs"
            print(
                f"| {result.name} | {result.seconds_before} | {result.seconds_after} | {result.ratio} | "
                f"{end}, {result.seconds_limited} |",
                flush=True,
            )
    if arguments.json:
        json.dump({"gas": GAS, "results": [asdict(result) for result in found]}, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
