"""What the test backend does with a request, by the first step of its path.

A body is a function of its length alone, and no two of its pieces are alike: a
lost, doubled or reordered byte changes the checksum in the trailers.
"""

import asyncio
import base64
import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.support.backend import Behaviour, Stream

PIECE: Final = 16 * 1024
PERIOD: Final = 251  # prime, so that no two pieces begin alike
LINE: Final = bytes(range(PERIOD)) * (PIECE // PERIOD + 2)


def body_of(size: int) -> bytes:
    """Return the body of `size` octets that `/bytes/<size>` sends."""
    return b"".join(_pieces(size))


def checksum(body: bytes) -> str:
    """Return what stands in `x-sha256` behind `body`."""
    return hashlib.sha256(body).hexdigest()


async def report(stream: "Stream") -> None:
    """Read everything, then tell as JSON what arrived."""
    digest = hashlib.sha256()
    size = 0
    while (piece := await stream.read()) is not None:
        digest.update(piece)
        size += len(piece)
    told = {
        "method": stream.field(":method"),
        "path": stream.field(":path"),
        "head": stream.head,
        "trailers": stream.trailers,
        "bytes": size,
        "sha256": digest.hexdigest(),
    }
    stream.respond(("content-type", "application/json"), ("trailer", "x-sha256"))
    await stream.send(json.dumps(told).encode())
    stream.finish(("x-sha256", digest.hexdigest()))


async def echo(stream: "Stream") -> None:
    """Send every piece back as it comes, and the request's trailers at the end."""
    stream.respond(("content-type", "application/octet-stream"))
    size = 0
    while (piece := await stream.read()) is not None:
        size += len(piece)
        await stream.send(piece)
    stream.finish(*(stream.trailers or ()), ("x-bytes", str(size)))


async def sized(stream: "Stream") -> None:
    """`/bytes/<size>`, `/sized/<size>`: a body, and its checksum as a trailer; to HEAD no more.

    The second announces its content-length. curl 7.88 stops listening where
    that is reached, and so does not show the trailers behind it.
    """
    size = int(stream.steps[1])
    length = [("content-length", str(size))] if stream.steps[0] == "sized" else []
    if stream.field(":method") == "HEAD":
        stream.respond(*length, end=True)
        return
    stream.respond(*length, ("trailer", "x-sha256, x-bytes"))
    digest = hashlib.sha256()
    for piece in _pieces(size):
        digest.update(piece)
        await stream.send(piece)
    stream.finish(("x-sha256", digest.hexdigest()), ("x-bytes", str(size)))


async def bare(stream: "Stream") -> None:
    """`/status/<code>`: a head and nothing else."""
    stream.respond(status=int(stream.steps[1]), end=True)


async def empty(stream: "Stream") -> None:
    """Trailers right behind the head, with no body between."""
    stream.respond(("trailer", "x-empty"))
    stream.finish(("x-empty", "yes"))


async def large_trailers(stream: "Stream") -> None:
    """`/large-trailers/<size>`: a short body and very many octets of trailers."""
    size = int(stream.steps[1])
    stream.respond()
    await stream.send(b"small body\n")
    stream.finish(*((f"x-part-{n}", "v" * 1000) for n in range(size // 1000)))


async def repeated(stream: "Stream") -> None:
    """The same names again and again, in an order that must survive."""
    stream.respond()
    await stream.send(b"repeated\n")
    stream.finish(*REPEATED)


async def interim(stream: "Stream") -> None:
    """Two early hints, then the response."""
    stream.respond(("link", "</a.css>; rel=preload"), status=103)
    stream.respond(("link", "</b.css>; rel=preload"), status=103)
    stream.respond()
    await stream.send(b"hinted\n")
    stream.finish(("x-hinted", "twice"))


async def held(stream: "Stream") -> None:
    """Half of the response, and the rest when the test releases it."""
    stream.respond()
    await stream.send(b"first half, ")
    await stream.backend.released.wait()
    await stream.send(b"second half")
    stream.finish(("x-held", "released"))


async def silent(stream: "Stream") -> None:
    """No answer at all."""
    await asyncio.Event().wait()


async def broken_off(stream: "Stream") -> None:
    """`/reset/<code>/<size>`: a head, `size` octets, RST_STREAM."""
    stream.respond()
    await stream.send(body_of(int(stream.steps[2])))
    stream.reset(int(stream.steps[1]))


def _pieces(size: int) -> Iterator[bytes]:
    for start in range(0, size, PIECE):
        phase = start % PERIOD
        yield LINE[phase : phase + min(PIECE, size - start)]


REPEATED: Final = (
    ("x-step", "one"),
    ("x-other", "between"),
    ("x-step", "two"),
    ("x-step", "three"),
    ("x-proof-bin", base64.b64encode(bytes(range(256))).decode()),
    ("x-proof-bin", "AAEC"),
)

BEHAVIOURS: Final[dict[str, "Behaviour"]] = {
    "report": report,
    "echo": echo,
    "bytes": sized,
    "sized": sized,
    "status": bare,
    "empty": empty,
    "large-trailers": large_trailers,
    "repeated": repeated,
    "interim": interim,
    "held": held,
    "silent": silent,
    "reset": broken_off,
}
