"""Until when certificates hold."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from trailproxy.net.expiry import expires_at


def pem(authority: trustme.CA, *, ends: datetime) -> bytes:
    leaf = authority.issue_cert("app.test", not_before=ends - timedelta(days=9), not_after=ends)
    return leaf.cert_chain_pems[0].bytes()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize(
    "ends",
    [
        datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC),
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),  # the last that is written in two digits
        datetime(2050, 1, 1, tzinfo=UTC),
        datetime(1999, 1, 2, tzinfo=UTC),
    ],
)
def test_the_end_is_found(authority: trustme.CA, tmp_path: Path, ends: datetime) -> None:
    file = tmp_path / "tls.crt"
    file.write_bytes(pem(authority, ends=ends))
    assert expires_at(str(file)) == ends.timestamp()


def test_of_a_chain_the_first_end_counts(authority: trustme.CA, tmp_path: Path) -> None:
    early, late = (datetime(year, 1, 1, tzinfo=UTC) for year in (2040, 2041))
    file = tmp_path / "tls.crt"
    file.write_bytes(b"# ours\n" + pem(authority, ends=late) + pem(authority, ends=early))
    assert expires_at(str(file)) == early.timestamp()


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"no PEM at all",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n$$$\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    ],
)
def test_where_there_is_none_nothing_is_said(tmp_path: Path, octets: bytes) -> None:
    file = tmp_path / "tls.crt"
    file.write_bytes(octets)
    assert expires_at(str(file)) is None
    assert expires_at(str(tmp_path / "missing")) is None
