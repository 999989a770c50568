"""Claim: an address that several processes listen on.

A TCP address is bound here and listened on elsewhere: each process has a socket
of its own that shares the address (SO_REUSEPORT), and the kernel deals clients
out among those that are open. The claim itself never listens: it keeps the port
from being given to others while processes come and go. A unix path has one
socket, which listens here and is accepted from everywhere; so has an address
whose socket listened before it came to us.
"""

import socket
from dataclasses import replace
from typing import Final, final

from trailproxy.core.address import Address
from trailproxy.net.listener import bind, listen, listens, release


@final
class Claim:
    """One address, held from construction to `close`."""

    def __init__(self, address: Address, bound: socket.socket | None = None) -> None:
        """Take the address, or the socket that was `bound` to it before us.

        Raises:
            ListenError: it is in use, or not ours.
        """
        self._foreign = bound is not None  # the path of a unix socket is not ours to remove
        if bound is None:
            if address.port:
                # Whoever listens there with SO_REUSEPORT would let us in: another proxy, say.
                bind(address).close()
            bound = bind(address, shared=True)
        self._socket: Final = bound
        port = 0 if address.is_unix else bound.getsockname()[1]
        self.address: Final = replace(address, port=port)  # never port 0
        if address.is_unix and not listens(bound):
            listen(bound, address)

    def listening(self) -> socket.socket:
        """Return a socket that listens, for one process.

        Raises:
            ListenError: there is none to be had.
        """
        if listens(self._socket):
            return self._socket.dup()
        sock = bind(self.address, shared=True)
        listen(sock, self.address)
        return sock

    def lend(self) -> socket.socket:
        """Return a copy of the socket, for a process that will have the address too."""
        return self._socket.dup()

    def leave_to_others(self) -> None:
        """Another process has the address: its path is not ours any more."""
        self._foreign = True

    def close(self) -> None:
        """Let go of the address; sockets that were handed out go on."""
        release(self._socket, self.address, foreign=self._foreign)
