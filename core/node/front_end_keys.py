"""The key of the front end's TLS, and its certificate, renewed before it ends.

The manager certifies a key of the worker's for limits.FRONT_END_DAYS. At two thirds of that a new key is made and
certified; the gateways use it from their next handshake on, and open connections stay as they are. The clock is the
host's word: one that runs wild costs a certificate per CHECK_SECONDS at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from core import limits
from core.crypto.keys import PrivateKey
from core.errors import InvariantBroken
from core.node.messages import FROM_MANAGER, TO_MANAGER, CertificateIssued, CertificateRequest
from core.ports import Transport

CHECK_SECONDS = 3600.0
_RENEW_AFTER_SECONDS = limits.FRONT_END_DAYS * 24 * 3600 * 2 // 3


class FrontEndKeys:
    """See the module. First `obtain`; then `run` beside whoever hears the manager, who passes on `issued`."""

    def __init__(self, manager: Transport, clock: Callable[[], float]) -> None:
        """clock: Unix seconds."""
        self._manager = manager
        self._clock = clock
        self._requested: PrivateKey | None = None
        self._renew_at = 0.0
        self.private_key = b""
        self.chain = b""
        self.service = b""
        """The service's information when the newest certificate was issued: the platform may have new collateral."""

    def __repr__(self) -> str:
        return f"<FrontEndKeys renewed at {self._renew_at:.0f}>"

    async def obtain(self) -> None:
        """Make the first key and have it certified, while nobody else hears the manager."""
        await self._request()
        answer = FROM_MANAGER.decode(await self._manager.receive())
        if not isinstance(answer, CertificateIssued):
            raise InvariantBroken(f"the manager sent {type(answer).__name__} in answer to a certificate request")
        self.issued(answer)

    async def run(self) -> None:
        """Ask for a new certificate whenever it is time, until cancelled. Raises ChannelClosed."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if self._requested is None and self._clock() >= self._renew_at:
                await self._request()

    def issued(self, answer: CertificateIssued) -> None:
        """Take what the manager has certified; raises InvariantBroken when it was not asked to."""
        if self._requested is None:
            raise InvariantBroken("the manager issued a certificate that was not asked for")
        self.private_key, self.chain = self._requested.to_pkcs8_pem(), answer.chain
        self.service = answer.service
        self._requested = None
        self._renew_at = self._clock() + _RENEW_AFTER_SECONDS

    async def _request(self) -> None:
        self._requested = PrivateKey.generate()
        await self._manager.send(TO_MANAGER.encode(CertificateRequest(self._requested.public_key().to_der())))
