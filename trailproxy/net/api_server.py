"""API server: what a pod asks the one of its cluster, over HTTP/2, with its service account.

A watch is a stream, so what health checks are made with will do: no other client is loaded. The
token is read anew for each question, and the authorities we trust for each connection, as the
kubelet replaces them while we run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import msgspec

from trailproxy.core.address import Address, parse_address
from trailproxy.core.record import Tally
from trailproxy.net.connection import AsyncConnection
from trailproxy.net.dial import dial
from trailproxy.net.local import ClientHost, Unobserved
from trailproxy.net.tls import TLSError, client_context
from trailproxy.wire import WireParams
from trailproxy.wire.errors import HTTP2Error
from trailproxy.wire.events import DataReceived, HeadReceived

if TYPE_CHECKING:
    from trailproxy.net.origin_params import OriginParams

_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_MOST_TOKEN: Final = 64 * 1024  # octets
_MOST_REFUSAL: Final = 64 * 1024  # octets of the words of a refusal
_MOST_SHOWN: Final = 300  # characters of them


@dataclass(frozen=True, kw_only=True)
class ApiParams:
    """Where the API server is, who we are to it, and how patient we are."""

    address: Address
    account: Path = Path(_ACCOUNT)  # the folder with our `token`, and the `ca.crt` we trust
    watch_s: float = 150.0  # the shortest watch; behind it the server is asked again
    retry_s: float = 0.5  # before the second try; doubled for each one after it
    most_retry_s: float = 30.0


def api_of(environ: Mapping[str, str]) -> ApiParams:
    """Read what the kubelet tells every container.

    Raises:
        ValueError: it told nothing: this is no pod.
    """
    host, port = (environ.get(f"KUBERNETES_SERVICE_{each}", "") for each in ("HOST", "PORT"))
    if not host or not port:
        raise ValueError(
            "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: no pod; "
            "k8s: endpoints are for pods, elsewhere give host:port"
        )
    return ApiParams(address=parse_address(f"[{host}]:{port}" if ":" in host else f"{host}:{port}"))


class RefusedError(Exception):
    """The API server said no; the text says why."""

    def __init__(self, refusal: "Refusal") -> None:
        super().__init__(f"the API server says {refusal.code}: {refusal.message[:_MOST_SHOWN]!r}")
        self.status: Final = refusal.code


class Refusal(msgspec.Struct, frozen=True):
    """What it says no with: the body of an answer, or the object of an ERROR in a watch."""

    code: int = 0  # an HTTP status
    message: str = ""


@final
class Answer:
    """The body of an answer, read as it comes."""

    def __init__(self, connection: AsyncConnection, sid: int) -> None:
        self._connection: Final = connection
        self._sid: Final = sid
        self._end = False

    async def status(self) -> int:
        """Return the status of the answer; interim ones are passed over.

        Raises:
            HTTP2Error: there is none.
        """
        while True:
            part = await self._connection.receive(self._sid)
            if isinstance(part, HeadReceived) and part.fields.status >= 200:
                self._end = part.end
                return part.fields.status

    async def piece(self) -> bytes:
        """Return the next octets; none at the end.

        Raises:
            HTTP2Error: there is no more of it, and this is not its end.
        """
        while not self._end:
            part = await self._connection.receive(self._sid)
            self._end = not isinstance(part, DataReceived) or part.end
            if isinstance(part, DataReceived) and part.data:
                return part.data
        self._connection.forget(self._sid)
        return b""

    async def whole(self, most: int) -> bytes:
        """Return all octets, of which there may be `most`.

        Raises:
            HTTP2Error: they do not all come.
            ValueError: there are more.
        """
        body = bytearray()
        while piece := await self.piece():
            body += piece
            if len(body) > most:
                raise ValueError(f"an answer of more than {most} octets")
        return bytes(body)


@final
class ApiServer:
    """The connection to it, made when there is something to ask."""

    def __init__(self, params: ApiParams, upstream: "OriginParams") -> None:
        """Prepare; it is dialled as the endpoints of `upstream` are, but for TLS and windows."""
        self.params: Final = params
        self._upstream: Final = upstream
        self._connection: AsyncConnection | None = None

    async def connect(self) -> None:
        """See that there is a connection that takes questions.

        Raises:
            DialError: there is none to be had.
            TLSError: the authorities we trust cannot be read.
        """
        connection = self._connection
        if connection is not None and not connection.closed and not connection.core.away:
            return
        self.hang_up()
        try:
            tls = client_context(str(self.params.account / "ca.crt"), None, None)
        except TLSError as error:
            hint = "has this pod a service account (automountServiceAccountToken)?"
            raise TLSError(f"{error}; {hint}") from error
        params = replace(self._upstream, tls=tls, server_name=None, wire=WireParams())
        self._connection = await dial(
            self.params.address, params, ClientHost(), _forget, Unobserved(), Tally()
        )

    async def ask(self, path: str) -> Answer:
        """Ask for `path` on the connection there is, and return what comes.

        Raises:
            RefusedError: the answer is no.
            HTTP2Error: there is no answer.
            OSError: our token cannot be read.
        """
        connection = self._connection
        if connection is None:
            raise HTTP2Error("nobody is connected")
        connection.tick()  # what a peer may do at once comes back here, and nowhere else
        head = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", str(self.params.address)),
            (":path", path),
            ("accept", "application/json"),
            ("authorization", f"Bearer {self._token()}"),
            ("user-agent", "trailproxy"),
        ]
        answer = Answer(connection, await connection.open(head, end=True))
        status = await answer.status()
        if status != 200:
            raise RefusedError(_refusal(status, await answer.whole(_MOST_REFUSAL)))
        return answer

    def _token(self) -> str:
        with (self.params.account / "token").open(encoding="utf-8") as file:
            return file.read(_MOST_TOKEN).strip()

    def hang_up(self) -> None:
        """Let go of the connection; whoever reads from it is told."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.transport.abort()


def _refusal(status: int, body: bytes) -> Refusal:
    try:
        return Refusal(status, msgspec.json.decode(body, type=Refusal).message)
    except msgspec.DecodeError:  # not every server in the way speaks as the API does
        return Refusal(status, body.decode("utf-8", "replace"))


def _forget(connection: AsyncConnection) -> None:
    """Nobody keeps a list."""
