"""py-evm's state of the network's fork for one block, with compiled or interpreted bytecode as the settings say."""

from __future__ import annotations

from typing import Any

from eth.vm.execution_context import ExecutionContext as VmContext

from adapters.deadline import Deadline
from adapters.ethereum.account_db import AccountDatabase
from adapters.ethereum.compiler.computation import CompiledCancunState, CompiledPragueState, shared_programs
from adapters.ethereum.compiler.program import ProgramCache
from adapters.ethereum.settings import Settings
from adapters.ethereum.vm import BlockEnvironment, CocoCancunState, CocoPragueState


def make_state(
    database: AccountDatabase,
    settings: Settings,
    environment: BlockEnvironment,
    deadline: Deadline,
    programs: ProgramCache | None = None,
) -> Any:
    """Return the state. deadline: that of each execution on it. programs: other than this process's, for tests."""
    context = block_context(settings, environment)
    if settings.evm == "compiled":
        compiled = CompiledPragueState if settings.is_prague else CompiledCancunState
        used = shared_programs(settings.fork) if programs is None else programs
        return compiled(database, context, environment.block_hash, deadline, used)
    interpreted = CocoPragueState if settings.is_prague else CocoCancunState
    return interpreted(database, context, environment.block_hash, deadline)


def block_context(settings: Settings, environment: BlockEnvironment) -> VmContext:
    """Return what the transactions of a block see of it."""
    return VmContext(
        coinbase=environment.coinbase,
        timestamp=environment.timestamp,
        block_number=environment.number,
        difficulty=0,
        mix_hash=environment.prevrandao,
        gas_limit=environment.gas_limit,
        prev_hashes=(),
        chain_id=settings.chain_id,
        base_fee_per_gas=environment.base_fee,
        excess_blob_gas=0,
    )
