"""The register of nodes, and what happens to open channels when it changes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from core.crypto.keys import PrivateKey
from core.errors import AuthenticationFailed, InvariantBroken
from core.node.attested_tls.errors import NodeRemoved, NodeUnknown
from core.node.attested_tls.hello import Mode
from core.node.attested_tls.peer import Peer
from core.node.attested_tls.register import NodeRegister

ONE, TWO = (PrivateKey.generate().public_key() for _ in range(2))
ONE_ID, TWO_ID = ONE.node_id(), TWO.node_id()
BOTH = {ONE_ID: ONE, TWO_ID: TWO}


@dataclass(eq=False)
class Channel:
    peer: Peer
    revoked: list[AuthenticationFailed] = field(default_factory=list)

    def revoke(self, refusal: AuthenticationFailed) -> None:
        self.revoked.append(refusal)


def channel(mode: Mode = Mode.PINNED) -> Channel:
    return Channel(Peer(ONE_ID, ONE, mode, None))


def test_who_is_admitted() -> None:
    register = NodeRegister({ONE_ID: ONE}, frozenset({"removed"}))  # type: ignore[arg-type]
    register.admit(None, ONE_ID, Mode.PINNED)
    register.admit(None, TWO_ID, Mode.JOIN)
    with pytest.raises(NodeUnknown):
        register.admit(None, TWO_ID, Mode.PINNED)
    for mode in Mode:
        with pytest.raises(NodeRemoved):
            register.admit(None, "removed", mode)  # type: ignore[arg-type]
    assert dict(register.nodes) == {ONE_ID: ONE}


def test_a_wrong_register_is_a_fault_of_ours() -> None:
    for nodes, removed in (({ONE_ID: TWO}, frozenset()), (BOTH, frozenset({ONE_ID}))):
        with pytest.raises(InvariantBroken):
            NodeRegister(nodes, removed)
    register = NodeRegister(BOTH)
    with pytest.raises(InvariantBroken):
        register.replace({ONE_ID: TWO})
    register.admit(None, ONE_ID, Mode.PINNED)


@pytest.mark.parametrize(("removed", "reason"), [(frozenset({ONE_ID}), NodeRemoved), (frozenset(), NodeUnknown)])
def test_a_node_that_leaves_loses_its_channels(removed: frozenset, reason: type[AuthenticationFailed]) -> None:
    register = NodeRegister(BOTH)
    leaving, staying = channel(), Channel(Peer(TWO_ID, TWO, Mode.PINNED, None))
    register.track(leaving)
    register.track(staying)
    assert register.replace(BOTH) == 0
    assert register.replace({TWO_ID: TWO}, removed) == 1
    assert [type(one) for one in leaving.revoked] == [reason]
    assert staying.revoked == []
    assert register.replace({TWO_ID: TWO}, removed) == 0


def test_a_channel_in_mode_join() -> None:
    """It needs no registration, and ends with removal."""
    register = NodeRegister({})
    joining = channel(Mode.JOIN)
    register.track(joining)
    assert register.replace(BOTH) == 0
    assert register.replace({}, frozenset({ONE_ID})) == 1
    assert joining.revoked


def test_a_node_that_left_during_its_handshake() -> None:
    register = NodeRegister({TWO_ID: TWO}, frozenset({ONE_ID}))
    late = channel()
    with pytest.raises(NodeRemoved):
        register.track(late)
    assert late.revoked
    assert register.replace({}) == 0


def test_channels_that_are_gone_are_forgotten() -> None:
    register = NodeRegister(BOTH)
    register.track(channel())
    assert register.replace({}) == 0
