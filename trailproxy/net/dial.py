"""Dial: one connection to one address, or the reason why not.

A connection counts as made when the peer's SETTINGS have come: until then we
neither know that it speaks HTTP/2 nor how many streams it takes.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from trailproxy.core.address import Address
from trailproxy.core.connection import Connection
from trailproxy.core.fault import Side
from trailproxy.core.record import Observer, Tally
from trailproxy.core.stream import Host
from trailproxy.net.channel import StreamGoneError
from trailproxy.net.connection import AsyncConnection
from trailproxy.wire import Role, make_codec

if TYPE_CHECKING:
    from trailproxy.net.origin_params import OriginParams


class DialError(Exception):
    """No connection; `outcome` is the word the metrics know it by."""

    def __init__(self, outcome: str, why: str) -> None:
        super().__init__(why)
        self.outcome: Final = outcome


async def dial(
    address: Address,
    params: "OriginParams",
    host: Host,
    on_lost: Callable[[AsyncConnection], None],
    observer: Observer,
    tally: Tally,
) -> AsyncConnection:
    """Connect to `address` and wait for its SETTINGS.

    Raises:
        DialError: within `connect_timeout_s` there was no HTTP/2 connection.
    """

    def build(_: AsyncConnection) -> Connection:
        codec = make_codec(params.codec, Role.CLIENT, params.wire)
        return Connection(codec, Side.UPSTREAM, host, observer, tally)

    member = AsyncConnection(build, on_lost, tally, params.patience)
    try:
        async with asyncio.timeout(params.connect_timeout_s):
            await _connect(member, address, params)
            if params.tls is not None and member.negotiated != "h2":
                raise DialError("protocol", "the peer did not agree on h2 in ALPN")
            await member.settled()
    except DialError:
        _abandon(member)
        raise
    except TimeoutError as error:
        why = "no HTTP/2 SETTINGS" if member.connected else "no answer"
        _abandon(member)
        raise DialError("timeout", f"{why} within {params.connect_timeout_s:g} s") from error
    except StreamGoneError as error:
        raise DialError("protocol", f"the peer does not speak HTTP/2: {error}") from error
    except (OSError, ssl.SSLError) as error:
        raise DialError(_outcome(error), _reason(error)) from error
    return member


async def _connect(member: AsyncConnection, address: Address, params: "OriginParams") -> None:
    loop = asyncio.get_running_loop()
    server_name = (params.server_name or address.name or address.host) if params.tls else None
    if address.is_unix:
        await loop.create_unix_connection(
            member.as_protocol, address.path, ssl=params.tls, server_hostname=server_name or None
        )
    else:
        await loop.create_connection(
            member.as_protocol,
            address.host,
            address.port,
            ssl=params.tls,
            server_hostname=server_name,
        )


def _abandon(member: AsyncConnection) -> None:
    if member.connected:
        member.transport.abort()


def _outcome(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "dns" if isinstance(error, socket.gaierror) else "error"


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"TLS: {error.reason.replace('_', ' ').lower()}"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()  # asyncio's own text repeats the address
    return error.strerror or str(error)
