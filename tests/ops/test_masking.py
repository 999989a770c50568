"""What people are shown, and what they are not."""

import pytest

from trailproxy.ops.masking import MASK, is_secret, masked, masked_target
from trailproxy.wire.field import Field
from trailproxy.wire.fields import Fields


@pytest.mark.parametrize(
    "name",
    [
        "authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "apikey",
        "x-goog-api-key", "x-auth-token", "x-amz-security-token", "x-csrf-token", "x-session-id",
        "x-hub-signature-256", "grpc-auth-bin", "x-jwt-assertion", "client-secret",
        "x-vault-token", "x-password", "proxy-authenticate", "www-authenticate", "auth-info",
    ],
)  # fmt: skip
def test_what_sounds_secret_is_masked(name: str) -> None:
    assert masked(Fields.of([(name, "s3cret")])) == [(name, MASK)]


@pytest.mark.parametrize(
    "name",
    [
        ":authority", ":method", "content-type", "grpc-status", "grpc-message", "x-request-id",
        "author", "x-forwarded-for", "traceparent", "content-digest", "x-amz-checksum-crc32",
    ],
)  # fmt: skip
def test_what_does_not_is_shown(name: str) -> None:
    assert masked(Fields.of([(name, "plain")])) == [(name, "plain")]


def test_what_its_sender_wants_in_no_table_is_masked() -> None:
    fields = Fields([Field(b"x-plain", b"seen"), Field(b"x-plain", b"s3cret", True)])
    assert masked(fields) == [("x-plain", "seen"), ("x-plain", MASK)]
    assert [is_secret(field) for field in fields] == [False, True]


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/x", "/x"),
        ("/x?", "/x?"),
        ("/x?page=1&token=abc&flag", "/x?page=1&token=***&flag"),
        ("/x?ACCESS_TOKEN=a=b&sig=1&key=2&code=3", "/x?ACCESS_TOKEN=***&sig=***&key=***&code=***"),
        ("/x?monkey=1&encode=2", "/x?monkey=1&encode=2"),
        ("https://a.example/cb?state=1", "https://a.example/cb?state=***"),
    ],
)
def test_secrets_in_a_query_are_masked(target: str, shown: str) -> None:
    assert masked_target(target) == shown
    for name in (":path", "referer", "location"):
        assert masked(Fields.of([(name, target)])) == [(name, shown)]
    assert masked(Fields.of([("x-other", target)])) == [("x-other", target)]
