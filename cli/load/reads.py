"""A workload of Ethereum that reads: eth_call of balanceOf, for owners in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cli.load.client import Client
from cli.load.json_rpc import judge_words, rpc_wire
from cli.load.requests import Confirmation, Endpoint, Request, Verdict
from cli.load.signing import Signer, balance_data, derive_keys, transfer_data
from cli.load.transfers import ERC20_GAS, SUPPLY
from cli.load.treasury import Treasury, bind_all, current_fees
from cli.load.workload import Recipe, Shape, Target


@dataclass(frozen=True, slots=True)
class BalanceRecipe:
    """owners: whose balance is asked for."""

    endpoint: Endpoint
    token: bytes
    owners: tuple[bytes, ...]
    shape: Shape

    def requests(self, lane: int, first: int, count: int) -> list[Request]:
        """Return a lane's reads from request `first` on."""
        made = []
        for number in range(first, first + count):
            start = (lane + number * self.shape.lanes) * self.shape.batch
            owners = [self.owners[(start + i) % len(self.owners)] for i in range(self.shape.batch)]
            params = [
                b'[{"to":"0x%b","data":"0x%b"},"latest"]'
                % (self.token.hex().encode(), balance_data(owner).hex().encode())
                for owner in owners
            ]
            made.append(Request(rpc_wire(self.endpoint, b"eth_call", params), (b"",) * self.shape.batch))
        return made

    def judge(self, request: Request, status: int, body: bytes) -> Verdict:
        return judge_words(request, status, body)

    def confirm(self, client: Client, keys: Sequence[bytes]) -> Confirmation:
        """A read is done when it is answered."""
        del client
        return Confirmation(len(keys))


def prepare_balance(client: Client, target: Target, shape: Shape, tell: Callable[[str], None]) -> Recipe:
    """Deploy a token and give every owner some."""
    chain_id = int(client.rpc("eth_chainId"), 16)
    treasury = Treasury(client, target, chain_id, current_fees(client))
    if target.must_bind and target.treasury_key is not None:
        bind_all(client, [target.treasury_key])
    tell("deploying the token")
    token = treasury.create_token(SUPPLY)
    tell("handing out tokens")
    owners = tuple(Signer(key, chain_id).address for key in derive_keys(target.secret, shape.accounts))
    treasury.wait([treasury.send(token, data=transfer_data(owner, 10**18), gas=2 * ERC20_GAS) for owner in owners])
    return BalanceRecipe(target.endpoint, token, owners, shape)
