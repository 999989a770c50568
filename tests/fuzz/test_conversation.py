"""A whole proxy: what is planted in it is found, and what is lawful is nothing wrong."""

import pytest

from benchmarks.fuzz import conversation
from benchmarks.fuzz.case import Case
from benchmarks.fuzz.hostile import CLIENT, DRAIN, FREE, FULL, GONE, SECOND, SERVER, Step
from benchmarks.fuzz.target import judge
from benchmarks.fuzz.targets import TARGETS
from tests.fuzz import planted
from tests.support import frames
from tests.support.frames import OK, POST, Scribe

HELLO = frames.PREFACE + frames.settings_frame()
PATHS = ["/", "/retry/", "/verify/", "/add/", "/told/", "/rules/"]


def told(*steps, codec="native"):
    return judge(TARGETS["proxy"], Case(codec, steps).octets)


def talk(path="/", *, body=b"some", end=True):
    """Let a client ask, and a server answer."""
    client, server = Scribe(), Scribe()
    asks = client.headers(1, [*POST[:3], (":path", path), ("x-a", "1")])
    answers = server.headers(1, [*OK, ("x-a", "2")]) + frames.data(1, body)
    trailers = server.headers(1, [("x-sum", "abc")], end=True)
    return (
        Step(CLIENT, HELLO),
        Step(SERVER, frames.settings_frame()),
        Step(CLIENT, asks + frames.data(1, b"body", end=True)),
        Step(SERVER, answers),
        Step(SERVER, trailers if end else b""),
    )


@pytest.mark.parametrize("codec", ["native", "h2", "both"])
@pytest.mark.parametrize("path", PATHS)
def test_what_peers_may_say_is_nothing_wrong(codec, path):
    assert not told(*talk(path), codec=codec)
    assert not told(*talk(path, end=False), codec=codec)


def test_whatever_befalls_a_proxy_is_nothing_wrong():
    befalls = [CLIENT + FULL, SECOND, CLIENT + FREE, SERVER + GONE, DRAIN, CLIENT + GONE]
    assert not told(*talk(end=False), *map(Step, befalls), Step(SECOND, b"", 3))


@pytest.mark.parametrize(
    ("plant", "wrong"),
    [
        (planted.EndsTooEarly, "a response cut short looks complete"),
        (planted.LosesTrailers, "other response trailers"),
        (planted.ChangesBodies, "another request body"),
        (planted.LosesFields, "another request head"),
        (planted.Malforms, "a malformed message was sent: content-length 99"),
        (planted.Stutters, "AuditError"),
        (planted.Raises, "IndexError"),
    ],
)
def test_what_is_planted_is_found(monkeypatch, plant, wrong):
    monkeypatch.setattr(conversation, "make_codec", plant)
    early = plant is planted.EndsTooEarly
    assert wrong in told(*talk(end=not early))


def test_what_is_left_behind_is_found(monkeypatch):
    monkeypatch.setattr(conversation.Connection, "lost_socket", lambda self, why: None)
    assert "(1, 0, 0) connections, streams, octets" in told(Step(CLIENT, HELLO))


def test_credit_that_comes_of_nothing_is_found(monkeypatch):
    class Generous(conversation.Line):
        def connection_changed(self, connection):
            super().connection_changed(connection)
            if connection.ready and not connection.away:
                connection.codec.consumed(1, 5)

    monkeypatch.setattr(conversation, "Line", Generous)
    assert "server: -5 octets unpaid, 0 owed" in told(*talk()[:2])


def test_more_paid_than_came_is_found(monkeypatch):
    class Generous(conversation.Line):
        def connection_changed(self, connection):
            super().connection_changed(connection)
            if connection.ready and not connection.away:
                connection.credit(1, 5)

    monkeypatch.setattr(conversation, "Line", Generous)
    assert "paid for more than came" in told(*talk()[:2])


def test_an_exchange_that_never_ends_is_found(monkeypatch):
    class Forgetful(conversation.Line):
        def cancel(self, tenant):
            pass

    monkeypatch.setattr(conversation, "Line", Forgetful)
    assert "somebody still waits" in told(*talk()[:1], talk()[2])
