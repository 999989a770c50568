"""Where the time of an exchange went."""

from tests.support.parts import data, head, request, trailers
from tests.support.table import Table
from trailproxy.core.inspection import Policy
from trailproxy.core.routing import Handling
from trailproxy.core.timing import Announcement, ServerTiming
from trailproxy.wire.field import Recurring
from trailproxy.wire.fields import Fields


def _table() -> Table:
    return Table(handling=Handling(policy=Policy([ServerTiming()])), connected=False)


def test_a_response_tells_where_its_time_went() -> None:
    table = _table()
    table.client.opens(request(end=True))
    table.advance(0.25)
    table.connect()
    table.server.hears(request(end=True))
    table.advance(0.5)
    table.server.says(head(200), data(b"x"))
    table.advance(1)
    table.server.says(trailers(server_timing="db;dur=3"))
    told = "proxy;dur=1250.0, queue;dur=250.0, upstream;dur=500.0, total;dur=1750.0"
    table.client.hears(
        head(200, trailer="server-timing"),
        data(b"x"),
        trailers(("server-timing", "db;dur=3"), ("server-timing", told)),
    )
    table.is_clean()


def test_one_without_a_body_tells_nothing() -> None:
    table = _table()
    table.connect()
    table.client.opens(request(end=True))
    table.server.says(head(204, end=True))
    table.client.hears(head(204, end=True))
    table.is_clean()


def test_request_trailers_are_left_alone() -> None:
    table = _table()
    table.connect()
    table.client.opens(request(), data(b"x"), trailers(x="1"))
    table.server.hears(request(), data(b"x"), trailers(x="1"))
    table.server.says(head(200, end=True))
    table.is_clean()


def test_heads_that_recur_are_announced_in_once() -> None:
    head, once = Fields.of([(":status", "200")]), Fields.of([(":status", "200")])
    head.recurring = Recurring()
    announcement = Announcement(b"x")
    made = announcement.on(head)
    assert announcement.on(head) is made
    assert made.get(b"trailer") == b"x"
    assert announcement.on(once) is not announcement.on(once)
