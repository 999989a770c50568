"""Our own answers: one table, and text that is safe wherever it is put."""

import pytest

from trailproxy.core.fault import Cause, ours
from trailproxy.core.reply import last_hop_reply, reply_for

DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("cause", "status", "grpc_status", "error"),
    [
        (Cause.NO_ROUTE, 404, "12", "destination_not_found"),
        (Cause.CONNECT_FAILED, 503, "14", "destination_unavailable"),
        (Cause.NO_ENDPOINT, 503, "14", "destination_not_found"),
        (Cause.QUEUE_FULL, 503, "8", "connection_limit_reached"),
        (Cause.QUEUE_TIMEOUT, 503, "14", "connection_limit_reached"),
        (Cause.DRAIN_TIMEOUT, 503, "14", "proxy_internal_response"),
        (Cause.RESPONSE_HEAD_TIMEOUT, 504, "4", "http_response_timeout"),
        (Cause.IDLE_TIMEOUT, 504, "4", "http_response_timeout"),
        (Cause.TOTAL_TIMEOUT, 504, "4", "http_response_timeout"),
        (Cause.UPSTREAM_RESET, 502, "1", "http_response_incomplete"),
        (Cause.UPSTREAM_REFUSED, 503, "14", "connection_limit_reached"),
        (Cause.UPSTREAM_GOAWAY, 503, "14", "connection_terminated"),
        (Cause.UPSTREAM_GONE, 502, "14", "connection_terminated"),
        (Cause.UPSTREAM_PROTOCOL, 502, "13", "http_protocol_error"),
        (Cause.HEAD_TIMEOUT, 504, "14", "http_response_timeout"),
        (Cause.FIELDS_TOO_LARGE, 502, "8", "http_response_header_section_size"),
        (Cause.INTERNAL, 500, "13", "proxy_internal_error"),
        (Cause.STREAM_OVER, 502, "14", "proxy_internal_error"),
    ],
)
def test_each_cause_has_its_answer(cause: Cause, status: int, grpc_status: str, error: str) -> None:
    fault = ours(cause, "it broke")
    plain = reply_for(fault, speaks_grpc=False, date=DATE)
    assert (plain.status, plain.grpc_status) == (status, "")
    assert plain.body == b"trailproxy: it broke\n"
    assert plain.head.get(b":status") == b"%d" % status
    assert plain.head.get(b"content-length") == b"%d" % len(plain.body)
    assert plain.head.get(b"date") == DATE
    told = f'trailproxy; error={error}; details="it broke"'.encode()
    assert plain.head.get(b"proxy-status") == told
    grpc = reply_for(fault, speaks_grpc=True, date=DATE)
    assert (grpc.status, grpc.grpc_status, grpc.body) == (200, grpc_status, b"")
    assert grpc.head.get(b"grpc-status") == grpc_status.encode()
    assert grpc.head.get(b"grpc-message") == b"trailproxy: it broke"
    assert grpc.head.get(b"proxy-status") == told


def test_text_of_a_peer_is_made_safe() -> None:
    why = 'gone "away"\\ 100%\r\nset-cookie: a=é' + "x" * 1000
    reply = reply_for(ours(Cause.UPSTREAM_GOAWAY, why), speaks_grpc=True, date=DATE)
    details = reply.head.get(b"proxy-status") or b""
    assert b"details=\"gone 'away'/ 100%??set-cookie: a=?xxx" in details
    assert len(details) < 300
    message = reply.head.get(b"grpc-message") or b""
    assert message.startswith(b'trailproxy: gone "away"\\ 100%25%0D%0Aset-cookie: a=%C3%A9xxx')
    assert len(message) < 520
    assert not reply.head.illegal_field().replace("pseudo-header ':status' is not allowed here", "")


def test_the_last_hop_answers_for_itself() -> None:
    reply = last_hop_reply(DATE)
    assert (reply.status, reply.body) == (200, b"trailproxy: this is the last hop\n")
    assert reply.head.get(b"proxy-status") == b"trailproxy"
