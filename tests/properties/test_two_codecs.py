"""Two codecs, the same octets: whatever a peer says, both hear it alike and answer alike.

Compared are the events but for their reasons, which are for people, and the resets and
GOAWAYs written. When window is given back is a codec's own choice.
"""

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.properties.test_codec import PARAMS, sessions
from tests.support.frames import OK, Scribe, data, raw, rst, window_update
from trailproxy.wire import CODECS, Role, make_codec
from trailproxy.wire.codec import PREFACE
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.events import ConnectionFault, Event, StreamFault
from trailproxy.wire.fields import Fields

ALIKE = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
REQUEST = Fields.of([(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")])

Heard = tuple[list[tuple[object, ...]], list[tuple[int, int, bytes]]]


def _either(code: int) -> int:
    """A frame of the wrong size on the wrong stream breaks two rules: either may be told."""
    return ErrorCode.PROTOCOL_ERROR if code == ErrorCode.FRAME_SIZE_ERROR else code


def _plain(event: Event) -> tuple[object, ...]:
    """Tell what an event says, without the reason."""
    if isinstance(event, ConnectionFault):
        return ("ConnectionFault", _either(event.code))
    if isinstance(event, StreamFault):
        return ("StreamFault", event.sid, event.code, event.refused, event.trailers)
    return (type(event).__name__, *event.tells())


def _answers(octets: bytes) -> list[tuple[int, int, bytes]]:
    """Return type, stream and what matters of each RST_STREAM, PING and GOAWAY."""
    octets = octets.removeprefix(PREFACE)
    found = []
    while octets:
        size = int.from_bytes(octets[:3], "big")
        kind, sid = octets[3], int.from_bytes(octets[5:9], "big")
        payload = octets[9 : 9 + size]
        if kind == 7:
            code = _either(int.from_bytes(payload[4:8], "big"))
            payload = payload[:4] + code.to_bytes(4, "big")
        if kind in (3, 6, 7):
            found.append((kind, sid, payload))
        octets = octets[9 + size :]
    return found


def _hear(name: str, role: Role, pieces: list[bytes], asked: int = 0) -> Heard:
    codec = make_codec(name, role, PARAMS)
    for _ in range(asked):
        codec.send_head(codec.open_stream(), REQUEST, end=False)
    told = [_plain(event) for piece in pieces for event in codec.receive(piece)]
    return told, _answers(codec.take_output())


def _cut(session: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut for cut in cuts if cut < len(session)), len(session)]
    return [session[a:b] for a, b in itertools.pairwise(edges)]


@ALIKE
@given(sessions(), st.lists(st.integers(0, 2000), max_size=6))
def test_a_client_is_heard_alike(session: bytes, cuts: list[int]) -> None:
    ours, reference = (_hear(name, Role.SERVER, _cut(session, cuts)) for name in CODECS)
    assert ours == reference


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Draw what a server says to three requests."""
    scribe = Scribe()
    pieces = [scribe.hello(client=False)]
    for _ in range(draw(st.integers(1, 10))):
        sid, end = draw(st.sampled_from([1, 3, 5, 7, 2, 0])), draw(st.booleans())
        head = draw(
            st.sampled_from(
                [OK, [(":status", "103")], [*OK, ("content-length", "3")], [("x-t", "1")]]
            )
        )
        body = draw(st.binary(max_size=5))
        pad = draw(st.sampled_from([0, 3]))
        pieces.append(
            draw(
                st.sampled_from(
                    [
                        scribe.headers(sid or 1, head, end=end),
                        data(sid or 1, body, end=end, pad=pad),
                        rst(sid or 1),
                        window_update(sid, draw(st.integers(0, 9))),
                        raw(draw(st.integers(0, 11)), draw(st.integers(0, 63)), sid, body),
                    ]
                )
            )
        )
    return b"".join(pieces)


@ALIKE
@given(answers(), st.lists(st.integers(0, 2000), max_size=6))
def test_a_server_is_heard_alike(session: bytes, cuts: list[int]) -> None:
    pieces = _cut(session, cuts)
    ours, reference = (_hear(name, Role.CLIENT, pieces, asked=3) for name in CODECS)
    assert ours == reference
