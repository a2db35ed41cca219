"""What a client pins when it first sees a network: the front-end CA, and the root of the simulated machine."""

from __future__ import annotations

from pathlib import Path

from cli.files import read_private
from cli.store import ClientStore
from core.errors import CocoError


class PinDiffers(CocoError):
    """The node shows another front-end CA than the one this client pinned."""

    exit_code = 7


def pin(client: ClientStore, ca_file: Path) -> None:
    """Pin the front-end CA when it is first seen; raises PinDiffers when another one is pinned."""
    shown = read_private(ca_file)
    if shown is None:
        raise CocoError(f"the node runs, but its certificate {ca_file} is missing", hint="Start it again.")
    pinned = client.pinned_ca()
    if pinned is None:
        client.pin_ca(shown)
    elif pinned.strip() != shown.strip():
        raise PinDiffers(
            f"the node of network {client.network} has another front-end CA than the one pinned here",
            hint="It may be somebody else's network. If its ledger was made anew on purpose, remove the pin: "
            f"{client.ca_file}",
        )


def pin_root(client: ClientStore, root_file: Path) -> None:
    """Pin the simulated machine's root when it is first seen; raises PinDiffers when another one is pinned."""
    shown, pinned = read_private(root_file), client.pinned_root()
    if shown is not None and pinned is None:
        client.pin_root(shown)
    elif shown is not None and pinned is not None and pinned.strip() != shown.strip():
        raise PinDiffers(
            f"the node of network {client.network} runs on another simulated machine than the one pinned here",
            hint="Its quotes verify under another root. If the node was moved there on purpose, remove the pin: "
            f"{client.root_file}",
        )
