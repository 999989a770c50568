"""Targets: paths that mean the same are the same, and what leads out of a prefix is seen."""

import pytest

from trailproxy.core.target import has_dot_segments, plain_path


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        (b"/admin", b"/admin"),
        (b"/%61dmin", b"/admin"),
        (b"/%41%5A%7a%30%2D%2e%5F%7E", b"/AZz0-._~"),
        (b"/a%2Fb%5cc%3F%23%25%2561", b"/a%2Fb%5cc%3F%23%25%2561"),
        (b"/a%", b"/a%"),
        (b"/a%6", b"/a%6"),
        (b"/a%zz", b"/a%zz"),
        (b"", b""),
    ],
)
def test_what_need_not_be_encoded_is_compared_without(path: bytes, plain: bytes) -> None:
    assert plain_path(path) == plain


@pytest.mark.parametrize(
    "path",
    [
        *(b"/.", b"/..", b"/./", b"/../", b"/public/../admin", b"/public/./x", b"/public/.."),
        *(b"/%2e%2e/x", b"/.%2E/x", b"/%2e/x", b"/public/%2e%2e%2fadmin"),
        *(b"/public/..%2fadmin", b"/public/..%5Cadmin", b"/public\\..\\admin", b"/x%2F..?y"),
        *(b"/public/..;/admin", b"/public/..;a=b/admin", b"/public/..?x", b"//../x", b"/a//.."),
    ],
)
def test_dot_segments_are_seen_however_they_are_spelled(path: bytes) -> None:
    assert has_dot_segments(plain_path(path))


@pytest.mark.parametrize(
    "path",
    [
        *(
            b"",
            b"*",
            b"/",
            b"/a.b",
            b"/a..b/c",
            b"/...",
            b"/.../x",
            b"/..a",
            b"/a..",
            b"/.well-known",
        ),
        *(b"/x?/../y", b"/x?a=..", b"/..%61", b"/%252e%252e/x", b"/a;../b", b"/.hidden/..x"),
        *(b"/greet.Greeter/Hello", b"/a%2fb", b"/a.;x"),
    ],
)
def test_dots_within_a_segment_are_letters_like_others(path: bytes) -> None:
    assert not has_dot_segments(plain_path(path))
