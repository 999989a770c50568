"""Client: requests on one way to the target, over one connection while it lasts."""

import asyncio
import errno
import os
import ssl
from dataclasses import dataclass
from typing import Final, final
from urllib.parse import urlsplit

from trailproxy.core.address import Address, parse_address
from trailproxy.net.tls import client_context
from trailproxy.probe.message import Message
from trailproxy.probe.peer import GoneError, Peer
from trailproxy.probe.script import CASE, body
from trailproxy.wire import Role
from trailproxy.wire.fields import Fields, Kind

_PORTS: Final = {"http": 80, "https": 443}

Extra = tuple[tuple[str, str], ...]

#: What OpenSSL says of a peer that does not speak TLS.
_IN_THE_CLEAR: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")


class UnreachableError(Exception):
    """There is nobody at an address; the text names it and says why."""


class NoHttp2Error(Exception):
    """Somebody is there who does not speak HTTP/2; the text says what instead."""


@final
@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for: the parts of a URL.

    Raises:
        ValueError: no request can be made of them; the text says why.
    """

    scheme: str
    authority: str
    path: str

    def __post_init__(self) -> None:
        _ = self.address  # for its ValueError
        why = Fields.of(self.pseudo("GET")).fault(Kind.REQUEST)
        if why:
            raise ValueError(f"{why} cannot be sent")

    @classmethod
    def of(cls, url: str) -> "Target":
        """Read a URL.

        Raises:
            ValueError: it is none, or none of http or https; the text says what is wrong.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.netloc or "@" in parts.netloc:
            raise ValueError(f"{url!r} is no URL such as https://host:port/path")
        query = f"?{parts.query}" if parts.query else ""
        return cls(parts.scheme, parts.netloc, (parts.path or "/") + query)

    def pseudo(self, method: str) -> list[tuple[str, str]]:
        """Return the first fields of a request."""
        return [
            (":method", method),
            (":scheme", self.scheme),
            (":authority", self.authority),
            (":path", self.path),
        ]

    @property
    def address(self) -> Address:
        """Where it is."""
        host, _, port = self.authority.rpartition(":")
        if not port.isdigit() or port.endswith("]"):
            return parse_address(f"{self.authority}:{_PORTS[self.scheme]}")
        return parse_address(f"{host}:{port}")

    @property
    def host(self) -> str:
        """The host alone, without brackets: what its certificate must be for."""
        return self.address.host


@final
@dataclass(frozen=True, slots=True)
class Way:
    """How the target is reached: directly, or by way of a hop."""

    name: str
    address: Address
    tls: ssl.SSLContext | None  # None: in the clear, with prior knowledge
    server_name: str  # for TLS

    @classmethod
    def to(cls, name: str, hop: Target, target: Target, *, ca: str | None, insecure: bool) -> "Way":
        """Return the way to a hop, which stands in for the target.

        Raises:
            TLSError: the CA file cannot be used.
        """
        context = None
        if hop.scheme == "https":
            context = client_context(ca, None, None)
            if insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
        # its certificate must be for the target's name
        return cls(name, hop.address, context, target.host)


@final
class Client:
    """Asks on one way."""

    def __init__(self, way: Way, target: Target, *, grpc: bool, timeout_s: float) -> None:
        """Prepare; nothing is dialled yet."""
        self.grpc: Final = grpc
        self._way: Final = way
        self._target: Final = target
        self._timeout_s: Final = timeout_s
        self._peer: Peer | None = None
        self._stranger: NoHttp2Error | None = None  # who is there in HTTP/2's place

    async def peer(self) -> Peer:
        """Return a connection that takes streams.

        Raises:
            UnreachableError: there is none to be had.
            NoHttp2Error: whoever is there speaks something else.
            GoneError: whoever is there takes no streams.
        """
        if self._stranger is not None:
            raise self._stranger  # asked once, and not again for every case
        if self._peer is None or self._peer.going:
            await self.close()
            self._peer = await self._dial()
            await self._greet(self._peer)
            if self._peer.going:
                raise GoneError(self._peer.going)
        return self._peer

    async def _dial(self) -> Peer:
        way = self._way
        name = way.server_name if way.tls is not None else None
        try:
            async with asyncio.timeout(self._timeout_s):
                _, peer = await asyncio.get_running_loop().create_connection(
                    lambda: Peer(Role.CLIENT),
                    way.address.host,
                    way.address.port,
                    ssl=way.tls,
                    server_hostname=name,
                )
        except TimeoutError as error:
            why = f"no answer within {self._timeout_s:g} s"
            raise UnreachableError(f"{way.address}: {why}") from error
        except OSError as error:
            if _refuses_h2(error):
                raise NoHttp2Error("by ALPN it refused h2") from error
            raise UnreachableError(f"{way.address}: {_reason(error)}") from error
        return peer

    async def _greet(self, peer: Peer) -> None:
        """Wait for what makes it HTTP/2."""
        try:
            if self._way.tls is not None and peer.negotiated != "h2":
                raise NoHttp2Error(f"by ALPN it chose {peer.negotiated or 'nothing'}")
            async with asyncio.timeout(self._timeout_s):
                await peer.until(lambda: peer.settled)
        except (NoHttp2Error, GoneError, TimeoutError) as error:
            late = f"no SETTINGS came within {self._timeout_s:g} s"
            self._stranger = NoHttp2Error(str(error) or late)
            peer.cut()
            raise self._stranger from error

    def head(self, case: str, method: str, extra: Extra = ()) -> Fields:
        """Return the head of a request that asks for a case."""
        pairs = [
            *self._target.pseudo(method),
            ("te", "trailers"),
            (CASE, case),
            ("user-agent", "trailproxy-probe"),
        ]
        if self.grpc:
            pairs.append(("content-type", "application/grpc"))
        return Fields.of([*pairs, *extra])

    async def ask(
        self, case: str, method: str = "GET", extra: Extra = (), *, hold: bool = False
    ) -> tuple[Peer, int]:
        """Send a request that is over at once; gRPC sends an empty message.

        Return its stream, and the connection that has it: the next may be another.
        """
        peer = await self.peer()
        if not self.grpc:
            return peer, peer.open(self.head(case, method, extra), end=True, hold=hold)
        sid = peer.open(self.head(case, "POST", extra), end=False, hold=hold)
        await peer.data(sid, body(5), end=True)
        return peer, sid

    async def hear(self, case: str, method: str = "GET", extra: Extra = ()) -> Message:
        """Send such a request, and wait for all that comes of it."""
        peer, sid = await self.ask(case, method, extra)
        return await peer.heard(sid)

    async def close(self) -> None:
        """Leave."""
        if self._peer is not None:
            await self._peer.close()


def _refuses_h2(error: OSError) -> bool:
    """Tell whether TLS ended for want of a common protocol (RFC 7301 section 3.2)."""
    # some versions of ssl know no reason for this alert, and have it in the text alone
    return isinstance(error, ssl.SSLError) and "no application protocol" in str(error).lower()


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message} (--ca, --insecure)"
    if isinstance(error, ssl.SSLError):
        plain = "; in the clear it is http://" if error.reason in _IN_THE_CLEAR else ""
        return f"TLS: {(error.reason or 'failed').replace('_', ' ').lower()}{plain}"
    if error.errno == errno.ECONNREFUSED:
        return "connection refused; does it run, and is that its port?"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()  # asyncio's own text repeats the address
    return error.strerror or str(error)
