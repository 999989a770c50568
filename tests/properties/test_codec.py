"""Codecs under any bytes: nothing escapes, and how a session is cut changes nothing."""

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import frames
from tests.support.frames import GET, POST, Scribe
from trailproxy.wire import CODECS, Role, WireParams, make_codec
from trailproxy.wire.events import ConnectionFault, Event

PARAMS = WireParams(max_concurrent_streams=4, stream_window=2000, connection_window=65_535)
# a loaded machine is slow, and no fault of the codec
BOUNDED = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

codecs = st.sampled_from(CODECS)
sids = st.sampled_from([0, 1, 2, 3, 5, 7, 9])
junk = st.binary(max_size=40)


@st.composite
def sessions(draw: st.DrawFn) -> bytes:
    """Draw a session of frames, most of them in order, some of them not."""
    scribe = Scribe()
    pieces = [scribe.hello()]
    for _ in range(draw(st.integers(1, 12))):
        sid, end = draw(sids), draw(st.booleans())
        pieces.append(
            draw(
                st.one_of(
                    st.just(scribe.headers(sid or 1, draw(st.sampled_from([GET, POST])), end=end)),
                    st.just(scribe.headers(sid or 1, [("x-t", "1")], end=end)),
                    st.binary(max_size=300).map(
                        lambda b, s=sid, e=end: frames.data(s or 1, b, end=e)
                    ),
                    st.just(frames.rst(sid or 1)),
                    st.just(frames.ping()),
                    st.just(frames.settings_frame(initial_window_size=100)),
                    st.builds(
                        frames.raw, st.integers(0, 12), st.integers(0, 63), st.just(sid), junk
                    ),
                )
            )
        )
    return b"".join(pieces)


def _run(name: str, role: Role, pieces: list[bytes]) -> tuple[list[Event], bytes]:
    codec = make_codec(name, role, PARAMS)
    told = [event for piece in pieces for event in codec.receive(piece)]
    return told, codec.take_output()


@BOUNDED
@given(codecs, sessions(), st.lists(st.integers(0, 2000), max_size=8))
def test_any_split_of_the_bytes_gives_the_same_events_and_answers(
    name: str, session: bytes, cuts: list[int]
) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(session)), len(session)]
    pieces = [session[a:b] for a, b in itertools.pairwise(edges)]
    assert _run(name, Role.SERVER, pieces) == _run(name, Role.SERVER, [session])


@BOUNDED
@given(
    codecs, sessions(), st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=6)
)
def test_no_mutation_escapes_and_a_connection_breaks_once(
    name: str, session: bytes, flips: list[tuple[int, int]]
) -> None:
    octets = bytearray(session)
    for place, value in flips:
        octets[place % len(octets)] = value
    told, _ = _run(name, Role.SERVER, [bytes(octets)])
    faults = [event for event in told if isinstance(event, ConnectionFault)]
    assert len(faults) <= 1
    assert not faults or told[-1] is faults[0]


@BOUNDED
@given(codecs, st.sampled_from(list(Role)), st.lists(junk, max_size=10))
def test_junk_never_escapes(name: str, role: Role, pieces: list[bytes]) -> None:
    hello = Scribe().hello(client=role is Role.SERVER)
    _run(name, role, [hello, *pieces])
    _run(name, role, pieces)
