"""The view of an exchange in flight."""

from tests.support.parts import data, head, request
from tests.support.table import Table


def test_an_exchange_in_flight_is_described() -> None:
    table = Table(client_window=3)
    table.client.holds = True
    table.client.opens(request(path="/up"), data(b"1234"))
    table.server.says(head(200), data(b"12345"))
    table.advance(1.23456)
    assert table.proxy.describe() == [
        {
            "listener": "main",
            "route": "all",
            "peer": "192.0.2.7",
            "method": "POST",
            "authority": "api.example.com",
            "path": "/up",
            "upstream": "app",
            "endpoint": "server",
            "attempts": 1,
            "status": 200,
            "age_s": 1.235,
            "downstream_stream": 1,
            "upstream_stream": 1,
            "request": {
                "phase": "body",
                "arrived_bytes": 4,
                "departed_bytes": 4,
                "parked_bytes": 0,
            },
            "response": {
                "phase": "body",
                "arrived_bytes": 5,
                "departed_bytes": 3,
                "parked_bytes": 2,
            },
        }
    ]


def test_an_exchange_that_waits_has_no_upstream_stream() -> None:
    table = Table(connected=False)
    table.client.opens(request(end=True))
    (shown,) = table.proxy.describe()
    assert shown["upstream_stream"] is None
    assert (shown["endpoint"], shown["attempts"]) == ("", 0)
    table.connect()
    table.server.says(head(200, end=True))
    assert table.proxy.describe() == []
