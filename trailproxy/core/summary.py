"""Summary: what a record says of its two lanes, once both are over."""

from trailproxy.core.lane import Lane
from trailproxy.core.record import CANCELLED, Record


def sum_up(record: Record, request: Lane, response: Lane) -> None:
    """Enter how the messages of an exchange went."""
    record.request_ending = request.ending or CANCELLED
    record.response_ending = response.ending or CANCELLED
    record.request_bytes = request.departed
    record.response_bytes = response.departed
    record.request_trailers = request.trailers_departed
    record.response_trailers = response.trailers_departed
    record.response_head = response.opened
    record.request_section = request.section
    record.response_section = response.section
    if request.messages is not None and response.messages is not None:
        record.request_messages = request.messages.count
        record.response_messages = response.messages.count
