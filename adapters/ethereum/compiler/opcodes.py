"""The opcodes as the compiler knows them: names, and the gas of each that does not depend on its operands.

Only what a trace charges itself stands here: an instruction that runs as the interpreter's own charges for itself.
Checked against py-evm's tables by the tests. Cancun and Prague differ in no static gas; how calls differ between them
is calls.py's part.
"""

from __future__ import annotations

STOP = 0x00
ADDMOD, MULMOD, EXP = 0x08, 0x09, 0x0A
ISZERO, NOT = 0x15, 0x19
KECCAK256 = 0x20
CALLDATALOAD, CALLDATACOPY, CODESIZE, CODECOPY = 0x35, 0x37, 0x38, 0x39
EXTCODESIZE, RETURNDATASIZE, RETURNDATACOPY = 0x3B, 0x3D, 0x3E
SELFBALANCE = 0x47
POP, MLOAD, MSTORE, MSTORE8, SLOAD, SSTORE = 0x50, 0x51, 0x52, 0x53, 0x54, 0x55
JUMP, JUMPI, PC, MSIZE, GAS, JUMPDEST = 0x56, 0x57, 0x58, 0x59, 0x5A, 0x5B
TLOAD, TSTORE, MCOPY, PUSH0, PUSH1, PUSH32 = 0x5C, 0x5D, 0x5E, 0x5F, 0x60, 0x7F
DUP1, DUP16, SWAP1, SWAP16, LOG0, LOG4 = 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xA4
CALL, CALLCODE, RETURN, DELEGATECALL, STATICCALL, REVERT = 0xF1, 0xF2, 0xF3, 0xF4, 0xFA, 0xFD
SELFDESTRUCT = 0xFF

ENVIRONMENT: dict[int, tuple[str, str, int]] = {
    0x30: ("ADDRESS", "from_bytes(c.address, 'big')", 160),
    0x32: ("ORIGIN", "from_bytes(c.transaction_context.origin, 'big')", 160),
    0x33: ("CALLER", "from_bytes(c.msg.sender, 'big')", 160),
    0x34: ("CALLVALUE", "c.msg.value", 256),
    0x36: ("CALLDATASIZE", "len(c.msg.data)", 40),
    0x3A: ("GASPRICE", "c.transaction_context.gas_price", 256),
    0x41: ("COINBASE", "from_bytes(c.state.coinbase, 'big')", 160),
    0x42: ("TIMESTAMP", "c.state.timestamp", 256),
    0x43: ("NUMBER", "c.state.block_number", 256),
    0x44: ("PREVRANDAO", "from_bytes(c.state.mix_hash, 'big')", 256),
    0x45: ("GASLIMIT", "c.state.gas_limit", 256),
    0x46: ("CHAINID", "c.state.execution_context.chain_id", 256),
    0x48: ("BASEFEE", "c.state.base_fee", 256),
}
"""Opcode -> mnemonic, Python for it, and its bits. The same throughout a frame; 2 gas each."""

OWN: dict[int, tuple[str, int, bool]] = {
    0x31: ("BALANCE", 1, True),
    0x3C: ("EXTCODECOPY", 4, False),
    0x3F: ("EXTCODEHASH", 1, True),
    0x40: ("BLOCKHASH", 1, True),
    0x49: ("BLOBHASH", 1, True),
    0x4A: ("BLOBBASEFEE", 0, True),
    0xF0: ("CREATE", 3, True),
    0xF5: ("CREATE2", 4, True),
    0xFF: ("SELFDESTRUCT", 1, False),
}
"""Opcode -> mnemonic, operands, whether it leaves a result. These run as the interpreter's own instructions."""

CALLS: dict[int, tuple[str, int]] = {
    CALL: ("call", 7),
    CALLCODE: ("call_code", 7),
    DELEGATECALL: ("delegate_call", 6),
    STATICCALL: ("static_call", 6),
}
"""Opcode -> helper in calls.py, operands."""


def _static_gas() -> tuple[int, ...]:
    gas = [0] * 256
    of: dict[int, tuple[int, ...]] = {
        1: (JUMPDEST,),
        2: (*ENVIRONMENT, CODESIZE, RETURNDATASIZE, POP, PC, MSIZE, GAS, PUSH0),
        3: (
            *(0x01, 0x03, *range(0x10, 0x1E)),
            *(CALLDATALOAD, CALLDATACOPY, CODECOPY, RETURNDATACOPY, MLOAD, MSTORE, MSTORE8, MCOPY),
            *range(PUSH1, SWAP16 + 1),
        ),
        5: (0x02, 0x04, 0x05, 0x06, 0x07, 0x0B, SELFBALANCE),
        8: (ADDMOD, MULMOD, JUMP),
        10: (EXP, JUMPI),
        30: (KECCAK256,),
        100: (TLOAD, TSTORE),
        375: tuple(range(LOG0, LOG4 + 1)),
    }
    for amount, opcodes in of.items():
        for opcode in opcodes:
            gas[opcode] = amount
    return tuple(gas)


STATIC_GAS = _static_gas()
