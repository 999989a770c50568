"""Claim: an address that several processes listen on.

A TCP address is bound here and listened on elsewhere: each process has a socket
of its own that shares the address (SO_REUSEPORT), and the kernel deals clients
out among those that are open. The claim itself never listens: it keeps the port
from being given to others while processes come and go. A unix path has one
socket, which listens here and is accepted from everywhere.
"""

import socket
from dataclasses import replace
from typing import Final, final

from trailproxy.core.address import Address
from trailproxy.net.listener import bind, listen, release


@final
class Claim:
    """One address, held from construction to `close`."""

    def __init__(self, address: Address) -> None:
        """Take the address.

        Raises:
            ListenError: it is in use, or not ours.
        """
        if address.port:
            # Whoever listens there with SO_REUSEPORT would let us in: another proxy, say.
            bind(address).close()
        self._socket: Final = bind(address, shared=True)
        port = 0 if address.is_unix else self._socket.getsockname()[1]
        self.address: Final = replace(address, port=port)  # never port 0
        if address.is_unix:
            listen(self._socket, address)

    def listening(self) -> socket.socket:
        """Return a socket that listens, for one process.

        Raises:
            ListenError: there is none to be had.
        """
        if self.address.is_unix:
            return self._socket.dup()
        sock = bind(self.address, shared=True)
        listen(sock, self.address)
        return sock

    def close(self) -> None:
        """Let go of the address; sockets that were handed out go on."""
        release(self._socket, self.address)
