"""Whatever the head, the body, the trailers and the ending: they arrive, or the loss has a name.

Direction × head × data × trailers × ending × chunking, each case one conversation.
"""

import itertools

import pytest

from tests.support.parts import Data, Head, Said, Trailers, data, head, request, reset, trailers
from tests.support.table import Peer, Table
from trailproxy.core.fault import Side
from trailproxy.core.record import Direction, Ending, Outcome
from trailproxy.wire.errors import ErrorCode

HEADS = {
    "plain": [head(200, content_type="text/plain")],
    "interim_first": [head(100), head(103, link="</style.css>"), head(200)],
}
BODIES = {
    "empty": [],
    "one": [data(b"x" * 10)],
    "many": [data(bytes([n]) * 997) for n in range(40)],
    "exactly_65535": [data(b"e" * 65_535)],
}
TRAILERS = {
    "none": None,
    "one": trailers(grpc_status="0"),
    "fifty": trailers(*((f"x-field-{n}", str(n) * 20) for n in range(50))),
    "repeated": trailers(("x-a", "1"), ("x-b", "2"), ("x-a", "3"), ("x-a", "1")),
    "binary": trailers(("grpc-status", "13"), ("details-bin", "AAECAwT/+/8=")),
    "large": trailers(("x-large", "v" * 60_000)),
}
WINDOWS = {"open": 1 << 20, "blocked": 7, "tight": 4099}
ENDINGS = ("quiet", "no_error", "goaway", "link_lost")
SPLITS = {"whole": 0, "split": 3}


def _cases() -> list[object]:
    product = itertools.product(
        ("response", "request"), HEADS, BODIES, TRAILERS, WINDOWS, ENDINGS, SPLITS
    )
    cases = []
    for direction, first, body, section, window, ending, split in product:
        if direction == "request" and (first != "plain" or ending in ("no_error", "goaway")):
            continue
        if window == ("blocked" if body in ("many", "exactly_65535") else "tight"):
            continue  # a window that fits the body: what seven octets at a time cost is no news
        if split == "split" and (body in ("many", "exactly_65535") or section == "large"):
            continue  # the same ground, and slow
        parts = (direction, first, body, section, window, ending, split)
        cases.append(pytest.param(*parts, id="-".join(parts)))
    return cases


def _message(first: list[Head], body: list[Data], section: Trailers | None) -> list[Said]:
    """Put the parts together; the end rides on the last of them."""
    parts: list[Said] = [*first, *body]
    if section is not None:
        return [*parts, section]
    last = parts[-1]
    assert isinstance(last, Head | Data)
    return [*parts[:-1], last._replace(end=True)]


def _end(table: Table, peer: Peer, ending: str) -> None:
    """What the sender does behind its end."""
    if ending == "goaway":
        peer.goes_away(peer.sid)
    elif ending == "link_lost":
        peer.leaves()
    elif ending == "no_error":
        peer.says(reset(ErrorCode.NO_ERROR))


@pytest.mark.parametrize(
    ("direction", "first", "body", "section", "window", "ending", "split"), _cases()
)
def test_a_message_that_ended_arrives_whole(
    direction: str, first: str, body: str, section: str, window: str, ending: str, split: str
) -> None:
    table = Table(client_window=WINDOWS[window], server_window=WINDOWS[window])
    table.client.split = table.server.split = SPLITS[split]
    if direction == "response":
        _response(table, _message(HEADS[first], BODIES[body], TRAILERS[section]), ending)
    else:
        whole = _message([request()], BODIES[body], TRAILERS[section])
        _request(table, whole, ending)
    outcomes = table.notes.trailer_outcomes
    way = Direction.RESPONSE if direction == "response" else Direction.REQUEST
    assert outcomes[way, Outcome.RELAYED] == (section != "none")
    assert not table.notes.trailer_losses


def _response(table: Table, message: list[Said], ending: str) -> None:
    client, server = table.client, table.server
    client.holds = True
    # with "no_error" the client is still uploading when the response ends
    uploading = ending == "no_error"
    client.opens(request(end=not uploading))
    server.hears(request(end=not uploading))
    server.says(*message)
    _end(table, server, ending)
    client.grants(1 << 30)
    for _ in range(20_000):
        if table.proxy.active == 0:
            break
        client.grants(1 << 30)
    expected = [*message, reset(ErrorCode.NO_ERROR)] if uploading else message
    client.hears(*expected)
    table.is_clean()
    assert table.record.dropped is None
    assert table.record.response_ending in (Ending.END, Ending.TRAILERS)


def _request(table: Table, message: list[Said], ending: str) -> None:
    client, server = table.client, table.server
    server.holds = True
    client.opens(*message)
    for _ in range(20_000):
        before = len(server.heard.get(server.sid, ()))
        server.grants(1 << 30)
        if len(server.heard.get(server.sid, ())) == before:
            break
    server.hears(*message)
    if ending == "link_lost":
        client.leaves()
        server.hears(reset(ErrorCode.CANCEL))
        assert table.record.dropped_side is Side.DOWNSTREAM
    else:
        server.says(head(204, end=True))
        client.hears(head(204, end=True))
        assert table.record.dropped is None
    table.is_clean()
