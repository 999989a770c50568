"""Remedy: what to do about an address that cannot be had, in a few words behind the reason."""

import errno
import socket
from typing import Final

from trailproxy.core.address import Address

_FIRST_FREE_PORT: Final = 1024

_TCP: Final = {
    errno.EADDRINUSE: "`ss -ltnp` shows who has it; end that, or choose another port",
    errno.EADDRNOTAVAIL: "this machine does not have that address (`ip address`); 0.0.0.0 is any",
}
_UNIX: Final = {
    errno.EADDRINUSE: "another process listens there, or it is no socket; choose another path",
    errno.ENOENT: "make the folder first",
    errno.EACCES: "the folder must be one that this user may write to",
}
_PRIVILEGED: Final = (
    "ports below 1024 take CAP_NET_BIND_SERVICE (AmbientCapabilities= of the unit), "
    "or choose one above"
)


def remedy(address: Address, error: OSError) -> str:
    """Return what to do, behind a semicolon; an empty string if there is nothing to say."""
    if isinstance(error, socket.gaierror):
        what = "bind an address, or a name that this machine can look up"
    elif address.is_unix:
        what = _UNIX.get(error.errno or 0, "")
    elif error.errno == errno.EACCES and address.port < _FIRST_FREE_PORT:
        what = _PRIVILEGED
    else:
        what = _TCP.get(error.errno or 0, "")
    return f"; {what}" if what else ""
