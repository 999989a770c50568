"""Door: where clients come in, one by one, and no more of them than there is room for.

Who comes in is counted from the moment its socket is accepted, before TLS costs
anything, to the moment it is gone. Who is one too many is not let in, whatever it would
have said.
"""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from trailproxy.core.fault import Refusal

_log: Final = logging.getLogger("trailproxy")
_AT_ONCE: Final = 64  # that are let in before those who are inside have their turn
_BACKLOG: Final = 1024
_NETWORK: Final = 8  # octets of an IPv6 address that one client has to itself, at the least


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdLimits:
    """How many connections a listener has open at once; 0: any number."""

    most: int = 10_000
    most_of_one: int = 1000  # address


@final
class Crowd:
    """Who is inside, counted by address; addresses of which nobody is are forgotten."""

    def __init__(self) -> None:
        self._inside = 0
        self._of: Final[dict[bytes, int]] = {}

    def refusal(self, client: bytes, limits: CrowdLimits) -> Refusal | None:
        """Say why a client cannot be let in, if it cannot."""
        if client and 0 < limits.most_of_one <= self._of.get(client, 0):
            return Refusal.ADDRESS_LIMIT
        return Refusal.CONNECTION_LIMIT if 0 < limits.most <= self._inside else None

    def enters(self, client: bytes) -> None:
        """Count one that is let in."""
        self._inside += 1
        self._of[client] = self._of.get(client, 0) + 1

    def leaves(self, client: bytes) -> None:
        """Count one that is gone."""
        self._inside -= 1
        left = self._of[client] - 1
        if left:
            self._of[client] = left
        else:
            del self._of[client]

    def __len__(self) -> int:
        return len(self._of)


def client_of(address: object) -> bytes:
    """Return what all connections of one client have in common; nothing, for a unix socket.

    Of IPv6 that is the network, as a client can have any of its 2^64 addresses.
    """
    if not isinstance(address, tuple):
        return b""
    host = ipaddress.ip_address(str(address[0]).partition("%")[0])
    if isinstance(host, ipaddress.IPv6Address):
        mapped = host.ipv4_mapped
        return host.packed[:_NETWORK] if mapped is None else mapped.packed
    return host.packed


@final
class Door:
    """A listening socket that somebody stands behind."""

    def __init__(
        self, listening: socket.socket, name: str, meet: Callable[[socket.socket, object], None]
    ) -> None:
        """Prepare; `meet` is given each socket that was accepted, and its peer's address."""
        self._socket: Final = listening
        self._name: Final = name
        self._meet: Final = meet
        self._loop: Final = asyncio.get_running_loop()
        self._open = False

    def open(self) -> None:
        """Let clients in, from now on."""
        if not self._open:
            self._open = True
            self._loop.add_reader(self._socket, self.let_in)

    def close(self) -> None:
        """Let nobody in any more."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._socket)

    def let_in(self, most: int = _AT_ONCE) -> None:
        """Accept those who wait, and no more than `most` of them."""
        for _ in range(most):
            try:
                accepted, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return  # nobody is left, or who was there has gone
            except OSError as error:
                # no descriptors, or no memory, for more: `tick` opens again
                _log.warning("listener %s cannot accept: %s", self._name, error.strerror)
                self.close()
                return
            self._meet(accepted, address)

    def let_all_in(self) -> None:
        """Accept all who wait."""
        self.let_in(_BACKLOG)
