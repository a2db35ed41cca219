"""The time limit of an execution: what is stopped leaves nothing, and nothing is stopped outside of it."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import FrameType
from typing import Any

import pytest
import uvloop

from adapters.deadline import Deadline, TimeExceeded
from adapters.ethereum import chain
from adapters.ethereum.account_db import AccountDatabase
from adapters.ethereum.model import CallRequest
from adapters.ethereum.settings import AllocatedAccount
from adapters.ethereum.simulate import estimate_gas, simulate
from adapters.jsonrpc import RpcError
from tests.adapters.ethereum.evm_support import ALICE, BOB, Chain, settings_with

# A signal may come inside a callback of the garbage collector (hypothesis has one), where an exception is lost and
# reported; the timer then fires again. That report is no failure.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

LOOP = b"\xcc" * 20
LOOP_CODE = bytes.fromhex("5b6180005f20505f56")
"""Hashes 32 KiB, for ever. Compiled, an empty loop uses up all its gas in time."""
JUMPS = b"\xbb" * 20
JUMPS_CODE = bytes.fromhex("5b6180005f20503656")
"""The same by a jump to where the call's data says: compiled, from one trace to the next."""
STATIC_RECURSION = b"\xdd" * 20
PAIRINGS = b"\xee" * 20
SHORT = 0.05


def recursion(address: bytes) -> bytes:
    """Code that calls itself with all gas, for ever."""
    return bytes.fromhex("5b5f5f5f5f73") + address + bytes.fromhex("5afa505f56")


G2 = (
    0x198E9393920D483A7260BFB731FB5D25F1AA493335A9E71297E485B7AEF312C2,
    0x1800DEEF121F1E76426A00665E5C4479674322D4F75EDADD46DEBD5CD992F6ED,
    0x090689D0585FF075EC9E99AD690C3395BC4B313370B38EF355ACDADCD122975B,
    0x12C85EA5DB8C6DEB4AAB71808DCB408FE3D1E7690C43D37B4CE6CC0166FA7DAA,
)
"""The generator of the twist's group as EIP-197 writes it."""
POINTS = b"".join(
    b"\x7f" + word.to_bytes(32, "big") + b"\x60" + bytes([32 * at, 0x52]) for at, word in enumerate((1, 2, *G2))
)
PAIRING_LOOP = POINTS + bytes.fromhex("5b5f5f60c05f60085afa5060") + bytes([len(POINTS), 0x56])
"""Pairings of the two generators, for ever."""


@pytest.fixture(params=["compiled", "interpreted"])
def network(request: pytest.FixtureRequest) -> Chain:
    code = {LOOP: LOOP_CODE, JUMPS: JUMPS_CODE, STATIC_RECURSION: recursion(STATIC_RECURSION), PAIRINGS: PAIRING_LOOP}
    alloc = {address: AllocatedAccount(nonce=1, code=one) for address, one in code.items()}
    return Chain(settings_with(alloc=alloc, transaction_seconds_max=SHORT, evm=request.param))


@pytest.fixture(autouse=True)
def _no_callbacks_of_the_collector() -> Iterator[None]:
    """Hypothesis has one, in which most signals of a deep recursion come, which makes Python collect all the time."""
    callbacks = gc.callbacks[:]
    gc.callbacks.clear()
    yield
    gc.callbacks[:] = callbacks


@pytest.fixture
def profile_signal() -> Iterator[None]:
    """Leave timer and handler as they were before the test."""
    handler = signal.getsignal(signal.SIGPROF)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, handler)


def in_thread(work: Callable[[], Any]) -> Any:
    """Run in another thread and return or raise what comes of it."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append((work(), None))
        except BaseException as error:  # noqa: BLE001
            found.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    result, error = found[0]
    if error is not None:
        raise error
    return result


RUNNERS = pytest.mark.parametrize("run", [lambda work: work(), in_thread], ids=["main thread", "another thread"])
Runner = Callable[[Callable[[], Any]], Any]


def spin(deadline: Deadline) -> None:
    while True:
        deadline.check()


@RUNNERS
def test_what_is_quick_enough_returns(run: Runner) -> None:
    assert run(lambda: Deadline(10).run(lambda: 7)) == 7


@RUNNERS
def test_what_takes_too_long_is_stopped(run: Runner) -> None:
    deadline = Deadline(SHORT)
    with pytest.raises(TimeExceeded) as caught:
        run(lambda: deadline.run(lambda: spin(deadline)))
    assert caught.value.seconds == SHORT
    assert run(lambda: deadline.run(lambda: 7)) == 7


def test_waiting_does_not_count() -> None:
    assert Deadline(SHORT).run(lambda: time.sleep(3 * SHORT)) is None


def test_processor_time_of_other_threads_does_not_count() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True)])
    thread.start()
    try:
        assert Deadline(4 * SHORT).run(lambda: time.sleep(6 * SHORT)) is None
    finally:
        stop.set()
        thread.join()


def test_libraries_that_catch_every_exception_do_not_catch_it() -> None:
    def stubborn() -> None:
        while True:
            try:
                spin(Deadline(1))
            except Exception:  # noqa: BLE001
                continue

    with pytest.raises(TimeExceeded):
        Deadline(SHORT).run(stubborn)


def test_one_that_a_finalizer_swallowed_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.deadline.REPEAT_SECONDS", SHORT)
    swallowed = []

    def swallow_once() -> None:
        try:
            spin(Deadline(1))
        except TimeExceeded:
            swallowed.append(True)
        spin(Deadline(1))

    with pytest.raises(TimeExceeded):
        Deadline(SHORT).run(swallow_once)
    assert swallowed


def test_nothing_fires_after_the_work(profile_signal: None) -> None:
    for _ in range(20):
        Deadline(0.002).run(lambda: None)
    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        pass
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_the_end_of_the_work_and_the_signal_race(profile_signal: None) -> None:
    """Whatever the order, the work ends once: with its result or stopped, and everything is put back."""
    ended = []
    for step in range(60):
        seconds = 0.001 + step * 0.00005
        until = 0.0025

        def work(until: float = until) -> str:
            end = time.thread_time() + until
            while time.thread_time() < end:
                pass
            return "done"

        try:
            ended.append(Deadline(seconds).run(work))
        except TimeExceeded:
            ended.append("stopped")
        assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    assert len(ended) == 60


def test_a_signal_late_on_its_way_does_nothing(profile_signal: None) -> None:
    Deadline(10).run(lambda: None)
    signal.raise_signal(signal.SIGPROF)


def test_the_handler_and_timer_of_others_come_back(profile_signal: None) -> None:
    calls = []

    def handler(signum: int, frame: FrameType | None) -> None:
        calls.append(signum)

    signal.signal(signal.SIGPROF, handler)
    signal.setitimer(signal.ITIMER_PROF, 50, 60)
    assert Deadline(10).run(lambda: 7) == 7
    assert signal.getsignal(signal.SIGPROF) is handler
    left, interval = signal.getitimer(signal.ITIMER_PROF)
    assert 40 < left < 51
    assert interval == 60
    assert calls == []
    with pytest.raises(ZeroDivisionError):
        Deadline(10).run(lambda: 1 // 0)
    assert signal.getsignal(signal.SIGPROF) is handler


def test_an_outer_deadline_goes_on_after_an_inner_one() -> None:
    outer = Deadline(SHORT)

    def work() -> None:
        inner = Deadline(SHORT / 5)
        with pytest.raises(TimeExceeded):
            inner.run(lambda: spin(inner))
        spin(outer)

    with pytest.raises(TimeExceeded) as caught:
        outer.run(work)
    assert caught.value.seconds == SHORT


def test_it_works_within_uvloop() -> None:
    """The loop hears of every signal too, and goes on."""

    async def serve() -> list[str]:
        heard = []
        for _ in range(3):
            deadline = Deadline(SHORT / 5)
            try:
                deadline.run(lambda deadline=deadline: spin(deadline))
            except TimeExceeded:
                heard.append("stopped")
            await asyncio.sleep(0.001)
        return heard

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(serve()) == ["stopped"] * 3


def test_a_deadline_in_the_past_is_refused() -> None:
    with pytest.raises(ValueError):
        Deadline(0)


def test_a_cache_is_not_left_with_half_a_value() -> None:
    deadline = Deadline(SHORT)
    slow = [True]

    @lru_cache(maxsize=4)
    def cached(number: int) -> int:
        if slow:
            spin(deadline)
        return number + 1

    with pytest.raises(TimeExceeded):
        deadline.run(lambda: cached(1))
    slow.clear()
    assert cached(1) == 2


def state_of(network: Chain) -> dict[str, Any]:
    transaction = network.read()
    names = ("accounts", "storage", "code", "creators")
    tables = {name: transaction.table(name) for name in names}
    return {name: [(key, table.get(key)) for key in table.keys(b"")] for name, table in tables.items()}


@RUNNERS
@pytest.mark.parametrize(
    "address", [LOOP, JUMPS, STATIC_RECURSION, PAIRINGS], ids=["loop", "jumps", "static calls", "pairings"]
)
def test_a_transaction_that_takes_too_long_leaves_nothing(network: Chain, address: bytes, run: Runner) -> None:
    network.send(1, to=BOB, value=1)
    before, number = state_of(network), network.executor.checkpoint()
    with pytest.raises(RpcError) as caught:
        run(lambda: network.send(0, to=address, gas=16_000_000, value=0))
    assert caught.value.code == -32000
    assert "timeout = 0.05s" in caught.value.message
    assert "split its work" in caught.value.message
    assert state_of(network) == before
    assert network.executor.checkpoint() == number
    assert chain.account(network.read(), ALICE).nonce == 0
    # The nonce was not used, and the block goes on.
    assert network.send(0, to=BOB, nonce=0, value=5).status == 1
    assert network.executor.next_index == 2
    assert len(network.close().transaction_hashes) == 2


def test_the_key_value_transaction_is_as_before(network: Chain) -> None:
    from tests.adapters.ethereum.evm_support import sign

    transaction = network.read()
    signed = network.decode(sign(0, to=LOOP, gas=16_000_000, nonce=0))
    with pytest.raises(RpcError):
        network.executor.execute(transaction, signed, network.context())
    assert not network.executor.is_open
    assert transaction.inner.take_write_set().tables == {}


def test_a_transaction_that_is_stopped_first_opens_no_block(network: Chain) -> None:
    with pytest.raises(RpcError):
        network.send(0, to=LOOP, gas=16_000_000)
    assert not network.executor.is_open


def test_the_same_transaction_within_a_longer_limit_runs() -> None:
    alloc = {LOOP: AllocatedAccount(nonce=1, code=LOOP_CODE)}
    network = Chain(settings_with(alloc=alloc, transaction_seconds_max=60))
    receipt = network.send(0, to=LOOP, gas=200_000)
    assert (receipt.status, receipt.gas_used) == (0, 200_000)


@RUNNERS
def test_calls_and_estimates_are_aborted_as_by_geth(network: Chain, run: Runner) -> None:
    request = CallRequest(ALICE, LOOP, b"")
    arguments = (network.read(), request, network.genesis, network.settings)
    for work in (simulate, estimate_gas):
        with pytest.raises(RpcError) as caught:
            run(lambda work=work: work(*arguments, gas_cap=10**12 if work is simulate else 10**8, seconds_max=SHORT))
        assert (caught.value.code, caught.value.message) == (-32000, "execution aborted (timeout = 0.05s)")


def test_the_limit_of_a_call_has_geths_text() -> None:
    from adapters.ethereum.simulate import SIMULATION_SECONDS_MAX

    assert f"{SIMULATION_SECONDS_MAX:g}s" == "5s"


def test_the_database_serves_the_next_execution(network: Chain) -> None:
    with pytest.raises(RpcError):
        network.send(0, to=STATIC_RECURSION, gas=16_000_000)
    database = AccountDatabase()
    database.begin(network.read())
    assert database.get_nonce(ALICE) == 0
    assert network.send(0, to=BOB, value=1).status == 1
