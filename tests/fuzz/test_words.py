"""The small parsers: what one of them gets wrong is found."""

from random import Random

import pytest

from benchmarks.fuzz import words
from benchmarks.fuzz.target import judge
from benchmarks.fuzz.targets import TARGETS
from trailproxy.core.address import Address
from trailproxy.core.digest import Claim
from trailproxy.wire.field import Field
from trailproxy.wire.fields import Fields


def told(parser, octets):
    number = [each.__name__ for each in words.PARSERS].index(parser)
    return judge(TARGETS["words"], bytes([number]) + octets)


@pytest.mark.parametrize("parser", [each.__name__ for each in words.PARSERS])
def test_whatever_is_read_is_nothing_wrong(parser):
    for word in (*words.WORDS, b"\n".join(words.WORDS)):
        assert not told(parser, word)


def test_what_is_made_up_is_for_all_parsers():
    made = {words.make(Random(seed))[0] % len(words.PARSERS) for seed in range(200)}
    assert made == set(range(len(words.PARSERS)))
    assert not judge(TARGETS["words"], b"")


def unlike(text):
    """Read every address as another one."""
    unlike.read += 1
    return Address("a", unlike.read)


unlike.read = 0


def mute(text):
    raise ValueError


MD5 = Claim(b"content-digest", b"md5", b"")
LONGER = Fields([*words._HEAD, Field(b"grpc-timeout", b"2S")])
TRACE = b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"


@pytest.mark.parametrize(
    ("parser", "octets", "planted", "instead", "wrong"),
    [
        ("_address", b"a:1", "parse_address", unlike, "is written a:1"),
        ("_endpoint", b"a:1", "parse_endpoint", mute, "does not say why"),
        ("_endpoint", b"a:1", "parse_endpoint", str.title, "AttributeError"),
        ("_address", b"\xff", "parse_address", lambda text: text.encode("ascii"), "not meant for"),
        ("_timeout", b"1S", "with_timeout", lambda head, seconds: LONGER, "1.0 s became 2.0 s"),
        ("_message", b"a", "percent_encoded", lambda text: b"\r\n", "not to be sent"),
        ("_pattern", b"a\0a", "patterns", None, "AttributeError"),
        ("_digest", b"a", "hashes_for", lambda head: {}, "hashes: []"),
        ("_digest", b"a", "claims_in", lambda head, whole: [MD5], "who knows b'md5'"),
        ("_trace", TRACE, "trace_id", lambda octets: "", "AssertionError"),
        ("_trace", TRACE, "parent_of", lambda octets: ("0", "0", True), "AssertionError"),
        ("_head", b"x:y", "request_to_relay", lambda head, hop: Fields([]), "unusable :method"),
    ],
)
def test_what_is_planted_is_found(monkeypatch, parser, octets, planted, instead, wrong):
    monkeypatch.setattr(words, planted, instead)
    assert wrong in told(parser, octets)


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        (b"{}\n\n", "not one line"),
        (b"{}\n", "ValidationError"),
        (b"x" * 200_000 + b"}\n", "200002 octets"),
    ],
)
def test_a_line_of_the_log_that_is_none_is_found(monkeypatch, written, wrong):
    class Writer:
        def __init__(self, request, response):
            pass

        def write(self, out, record, time):
            out.write(written)

    monkeypatch.setattr(words, "LineWriter", Writer)
    assert wrong in told("_log", b"word")
