"""Whether a body is what its sender says of it."""

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.parts import data, head, request, reset, trailers
from tests.support.table import Table
from trailproxy.core.digest import Crc32, Crc32c, DigestCheck, DigestMaker, claims_in
from trailproxy.core.fault import Cause, Side
from trailproxy.core.inspection import Policy
from trailproxy.core.record import Direction
from trailproxy.core.routing import Handling
from trailproxy.wire.errors import ErrorCode
from trailproxy.wire.fields import Fields

BODY = b"hello, trailers"


def _told(algorithm: str, body: bytes = BODY) -> str:
    octets = hashlib.new(algorithm.replace("-", ""), body).digest()
    return f"{algorithm}=:{base64.b64encode(octets).decode()}:"


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _checking(*, resets: bool = True) -> Table:
    return Table(handling=Handling(policy=Policy([DigestCheck(resets=resets)])))


GOOD = {
    "sha-256": [("content-digest", _told("sha-256"))],
    "sha-512": [("content-digest", _told("sha-512"))],
    "both": [("content-digest", f"{_told('sha-256')}, {_told('sha-512')}")],
    "repr": [("repr-digest", _told("sha-256"))],
    "unknown beside": [("content-digest", f"md5=:AAAA:, {_told('sha-512')}")],
}
AMAZON = {
    "crc32": _base64(zlib.crc32(BODY).to_bytes(4, "big")),
    "sha1": _base64(hashlib.sha1(BODY).digest()),
    "sha256": _base64(hashlib.sha256(BODY).digest()),
}


@pytest.mark.parametrize("section", GOOD.values(), ids=GOOD)
def test_a_response_that_is_what_it_says_is_verified(section: list[tuple[str, str]]) -> None:
    table = _checking()
    table.client.opens(request(end=True))
    table.server.says(head(200), data(BODY[:4]), data(BODY[4:]), trailers(*section))
    table.client.hears(head(200), data(BODY), trailers(*section))
    table.is_clean()
    assert table.notes.digests[Direction.RESPONSE, "verified"] == 1
    assert table.record.dropped is None


@pytest.mark.parametrize("section", GOOD.values(), ids=GOOD)
def test_one_that_is_not_is_reset_before_its_end(section: list[tuple[str, str]]) -> None:
    table = _checking()
    table.client.opens(request(end=True))
    table.server.says(head(200), data(BODY[:-1] + b"?"), trailers(*section))
    table.client.hears(head(200), data(BODY[:-1] + b"?"), reset(ErrorCode.INTERNAL_ERROR))
    table.is_clean()
    assert table.notes.digests[Direction.RESPONSE, "mismatch"] == 1
    assert table.record.dropped is Cause.DIGEST_MISMATCH
    assert table.record.dropped_side is Side.UPSTREAM


def test_a_mismatch_may_only_be_noted() -> None:
    table = _checking(resets=False)
    section = trailers(content_digest=_told("sha-256", b"other"))
    table.client.opens(request(end=True))
    table.server.says(head(200), data(BODY), section)
    table.client.hears(head(200), data(BODY), section)
    table.is_clean()
    assert table.record.notes == [
        "response body does not have the digest that content-digest (sha-256) says"
    ]
    assert table.record.dropped is None


def test_a_digest_in_the_head_holds_too() -> None:
    table = _checking()
    first = head(200, content_digest=_told("sha-256"))
    table.client.opens(request(end=True))
    table.server.says(first, data(b"something else", end=True))
    table.client.hears(first, data(b"something else"), reset(ErrorCode.INTERNAL_ERROR))
    table.is_clean()


def test_a_request_that_is_not_what_it_says_is_refused() -> None:
    table = _checking()
    table.client.opens(request(), data(BODY), trailers(content_digest=_told("sha-256", b"other")))
    (answer, *_) = table.client.heard.pop(table.client.sid)
    assert answer.fields[0] == (":status", "400")
    table.server.hears(request(), data(BODY), reset(ErrorCode.CANCEL))
    table.is_clean()
    assert table.record.dropped_side is Side.DOWNSTREAM


@pytest.mark.parametrize("name", AMAZON)
@pytest.mark.parametrize("announced", ["trailer", "x-amz-trailer"])
@pytest.mark.parametrize("right", [True, False])
def test_checksums_of_s3(name: str, announced: str, right: bool) -> None:
    table = _checking()
    field = f"x-amz-checksum-{name}"
    first = request(**{announced.replace("-", "_"): field})
    table.client.opens(first, data(BODY if right else b"other"), trailers((field, AMAZON[name])))
    outcome = "verified" if right else "mismatch"
    assert table.notes.digests[Direction.REQUEST, outcome] == 1
    if right:
        table.server.hears(first, data(BODY), trailers((field, AMAZON[name])))
        table.server.says(head(200, end=True))
    table.is_clean()


def test_a_partial_response_is_not_held_to_the_digest_of_the_whole() -> None:
    table = _checking()
    section = trailers(repr_digest=_told("sha-256", b"the whole"))
    table.client.opens(request(end=True))
    table.server.says(head(206), data(b"whole"), section)
    table.client.hears(head(206), data(b"whole"), section)
    assert table.notes.digests[Direction.RESPONSE, "unverified"] == 1


@pytest.mark.parametrize("value", ["nonsense", "sha-256=:!!!:", "sha-256=abc", "sha-256=:AAAA:"])
def test_strange_digests_harm_nobody_else(value: str) -> None:
    table = _checking(resets=False)
    table.client.opens(request(end=True))
    table.server.says(head(200), data(BODY), trailers(content_digest=value))
    table.client.hears(head(200), data(BODY), trailers(content_digest=value))
    table.is_clean()


def test_what_is_no_base64_is_a_digest_that_nothing_has() -> None:
    table = _checking()
    first = request(trailer="x-amz-checksum-crc32")
    table.client.opens(first, data(BODY), trailers(("x-amz-checksum-crc32", "no base64!")))
    assert table.notes.digests[Direction.REQUEST, "mismatch"] == 1
    table.is_clean()


def test_trailers_behind_the_answer_to_head_are_not_looked_at() -> None:
    table = _checking()
    table.client.opens(request("HEAD", end=True))
    table.server.says(head(200), trailers(content_digest=_told("sha-256")))
    table.client.hears(head(200), data(b"", end=True))
    table.is_clean()
    assert table.notes.digests[Direction.RESPONSE, "mismatch"] == 0


def test_empty_data_behind_the_answer_to_head_is_not_looked_at() -> None:
    table = _checking()
    table.client.opens(request("HEAD", end=True))
    table.server.says(head(200, content_digest=_told("sha-256")), data(b""), data(b"", end=True))
    table.client.hears(head(200, content_digest=_told("sha-256")), data(b"", end=True))
    table.is_clean()
    assert not table.notes.digests[Direction.RESPONSE, "mismatch"]


def test_parameters_have_no_meaning() -> None:
    field = Fields.of([("content-digest", "sha-256=:AAAA:;q=1, sha-512=:BBBB:")])
    assert [claim.algorithm for claim in claims_in(field, whole=True)] == [b"sha-256", b"sha-512"]


# RFC 3720 appendix B.4
@pytest.mark.parametrize(
    ("octets", "crc"),
    [
        (bytes(32), "8a9136aa"),
        (b"\xff" * 32, "62a8ab43"),
        (bytes(range(32)), "46dd794e"),
        (bytes(range(31, -1, -1)), "113fdb5c"),
        (b"123456789", "e3069283"),
    ],
)
def test_crc32c_against_published_values(octets: bytes, crc: str) -> None:
    check = Crc32c()
    check.update(octets)
    assert check.digest().hex() == crc


@given(st.binary(max_size=200), st.integers(0, 200))
def test_a_checksum_does_not_depend_on_how_a_body_is_cut(octets: bytes, at: int) -> None:
    for make in (Crc32, Crc32c):
        whole, pieces = make(), make()
        whole.update(octets)
        pieces.update(octets[:at])
        pieces.update(octets[at:])
        assert whole.digest() == pieces.digest()


# -- digests that are added --------------------------------------------------------------------


def _adding() -> Table:
    return Table(handling=Handling(policy=Policy([DigestMaker()])))


def test_a_response_gets_a_digest() -> None:
    table = _adding()
    table.client.opens(request(end=True))
    table.server.says(head(200), data(BODY), trailers(x="1"))
    made = trailers(("x", "1"), ("content-digest", _told("sha-256")))
    table.client.hears(head(200, trailer="content-digest"), data(BODY), made)
    table.is_clean()
    assert table.notes.digests[Direction.RESPONSE, "added"] == 1


def test_so_does_one_without_trailers() -> None:
    table = _adding()
    table.client.opens(request(end=True))
    table.server.says(head(200, trailer="x"), data(BODY, end=True))
    table.client.hears(
        head(200, trailer="x, content-digest"),
        data(BODY),
        trailers(content_digest=_told("sha-256")),
    )
    table.is_clean()


@pytest.mark.parametrize("place", ["head", "trailers"])
def test_one_that_has_a_digest_keeps_it(place: str) -> None:
    table = _adding()
    table.client.opens(request(end=True))
    told = _told("sha-512")
    if place == "head":
        said = [head(200, content_digest=told), data(BODY, end=True)]
        table.server.says(*said)
        table.client.hears(head(200, content_digest=told), data(BODY), data(b"", end=True))
    else:
        table.server.says(head(200), data(BODY), trailers(content_digest=told))
        table.client.hears(
            head(200, trailer="content-digest"), data(BODY), trailers(content_digest=told)
        )
    table.is_clean()
    assert table.notes.digests[Direction.RESPONSE, "added"] == 0


def test_a_response_to_head_has_nothing_to_digest() -> None:
    table = _adding()
    table.client.opens(request("HEAD", end=True))
    table.server.says(head(200, end=True))
    table.client.hears(head(200, end=True))
    table.is_clean()
