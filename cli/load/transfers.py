"""Workloads of Ethereum that write: ERC-20 transfers, and transfers of plain value, signed ahead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cli.errors import WrongUse
from cli.load.client import Client
from cli.load.json_rpc import judge_hashes, rpc_wire
from cli.load.requests import Confirmation, Endpoint, Request, Verdict, brief
from cli.load.signing import Fees, Signer, derive_keys, transfer_data
from cli.load.treasury import BATCH, Treasury, bind_all, current_fees, nonces
from cli.load.workload import Recipe, Shape, Target

PLAIN_GAS = 21_000
ERC20_GAS = 90_000
SUPPLY = 10**30
_TRANSFERS_PAID = 5_000
"""Transactions of one sender that its funds pay for."""
_VALUE_FUNDED = 10**15
_RECIPIENTS_FROM = 0xC0C0 << 80


@dataclass(frozen=True, slots=True)
class TransferRecipe:
    """keys, nonces: of the senders; sender s belongs to lane s modulo lanes. token: None for plain value."""

    endpoint: Endpoint
    chain_id: int
    keys: tuple[bytes, ...]
    nonces: tuple[int, ...]
    token: bytes | None
    fees: Fees
    shape: Shape

    def requests(self, lane: int, first: int, count: int) -> list[Request]:
        """Sign a lane's transactions from request `first` on. A request's items have one sender, in order."""
        senders = range(lane, len(self.keys), self.shape.lanes)
        signers = {sender: Signer(self.keys[sender], self.chain_id) for sender in senders}
        made = []
        for number in range(first, first + count):
            turn, place = divmod(number, len(senders))
            sender = senders[place]
            items = [self._sign(signers[sender], sender, turn * self.shape.batch + i) for i in range(self.shape.batch)]
            params = [b'["0x%b"]' % raw.hex().encode() for raw, _ in items]
            wire = rpc_wire(self.endpoint, b"eth_sendRawTransaction", params)
            made.append(Request(wire, tuple(digest for _, digest in items), sender))
        return made

    def judge(self, request: Request, status: int, body: bytes) -> Verdict:
        return judge_hashes(request, status, body)

    def confirm(self, client: Client, keys: Sequence[bytes]) -> Confirmation:
        """Read every receipt: it is confirmed if it stands in a block and succeeded."""
        answers = client.batch([("eth_getTransactionReceipt", ["0x" + key.hex()]) for key in keys])
        errors = []
        for answer in answers:
            receipt = answer.get("result")
            if not isinstance(receipt, dict):
                errors.append(brief(f"no receipt: {answer.get('error', '')}").rstrip(": "))
            elif receipt.get("blockNumber") is None or receipt.get("status") != "0x1":
                errors.append("the receipt says that it failed")
        return Confirmation(len(keys) - len(errors), tuple(errors))

    def _sign(self, signer: Signer, sender: int, turn: int) -> tuple[bytes, bytes]:
        nonce = self.nonces[sender] + turn
        number = sender + nonce * len(self.keys)
        if self.shape.recipients:
            number %= self.shape.recipients
        to = (_RECIPIENTS_FROM + number).to_bytes(20, "big")
        if self.token is None:
            return signer.sign(nonce, to, value=1, gas=PLAIN_GAS, fees=self.fees)
        return signer.sign(nonce, self.token, data=transfer_data(to, 1), gas=ERC20_GAS, fees=self.fees)


def prepare_erc20(client: Client, target: Target, shape: Shape, tell: Callable[[str], None]) -> Recipe:
    """Deploy a token and give every sender some."""
    return _prepare(client, target, shape, tell, erc20=True)


def prepare_plain(client: Client, target: Target, shape: Shape, tell: Callable[[str], None]) -> Recipe:
    """Give every sender some ether."""
    return _prepare(client, target, shape, tell, erc20=False)


def _prepare(client: Client, target: Target, shape: Shape, tell: Callable[[str], None], *, erc20: bool) -> Recipe:
    if shape.accounts < shape.lanes:
        raise WrongUse(
            f"{shape.accounts} accounts for {shape.lanes} connections",
            hint="Each connection has senders of its own: give --accounts at least as many as --connections.",
        )
    chain_id = int(client.rpc("eth_chainId"), 16)
    fees = current_fees(client)
    treasury = Treasury(client, target, chain_id, fees)
    keys = tuple(derive_keys(target.secret, shape.accounts))
    addresses = [Signer(key, chain_id).address for key in keys]
    if target.must_bind:
        tell("proving addresses")
        bind_all(client, [*([target.treasury_key] if target.treasury_key else []), *keys])
    token = None
    if erc20:
        tell("deploying the token")
        token = treasury.create_token(SUPPLY)
    tell("funding accounts")
    _fund(client, treasury, addresses, token, _cost(fees, erc20))
    return TransferRecipe(target.endpoint, chain_id, keys, tuple(nonces(client, addresses)), token, fees, shape)


def _cost(fees: Fees, erc20: bool) -> int:
    """Return the wei that a sender needs."""
    gas = ERC20_GAS if erc20 else PLAIN_GAS
    paid = min(fees.max_fee, 4 * fees.tip) * gas * _TRANSFERS_PAID + fees.max_fee * gas
    return paid + (0 if erc20 else _VALUE_FUNDED)


def _fund(client: Client, treasury: Treasury, addresses: Sequence[bytes], token: bytes | None, wei: int) -> None:
    hashes = []
    for first in range(0, len(addresses), BATCH):
        part = addresses[first : first + BATCH]
        balances = client.results([("eth_getBalance", ["0x" + one.hex(), "latest"]) for one in part])
        for address, balance in zip(part, balances, strict=True):
            if int(balance, 16) < wei:
                hashes.append(treasury.send(address, value=wei - int(balance, 16), gas=PLAIN_GAS))
            if token is not None:
                share = SUPPLY // (2 * len(addresses))
                hashes.append(treasury.send(token, data=transfer_data(address, share), gas=2 * ERC20_GAS))
    treasury.wait(hashes)
