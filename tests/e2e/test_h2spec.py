"""h2spec, the conformance suite for RFC 9113 and HPACK, against the proxy before a real backend."""

import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.support.backend import RunningBackend
from tests.support.certificates import Certificates
from tests.support.running import Start, listener

pytestmark = pytest.mark.e2e

TIME_LIMIT_S = 80


def find_h2spec() -> str | None:
    """Look on the PATH, and where `go install` puts it."""
    places = [shutil.which("h2spec"), Path.home() / "go" / "bin" / "h2spec"]
    return next((str(place) for place in places if place and Path(place).is_file()), None)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_the_proxy_conforms(
    backend: RunningBackend, certificates: Certificates, start: Start, tmp_path: Path, tls: bool
):
    h2spec = find_h2spec()
    if h2spec is None:
        pytest.skip("h2spec is not installed")
    listens = listener(tls=certificates.server_tls()) if tls else listener()
    proxy = start(backend.endpoint, listeners=[listens])
    host, port = proxy.address
    secure = ["--tls", "--insecure"] if tls else []

    told = subprocess.run(
        [
            *(h2spec, "--strict", *secure, "--host", host, "--port", str(port)),
            *("--timeout", "3", "--junit-report", str(tmp_path / "report.xml")),
        ],
        capture_output=True,
        text=True,
        timeout=80,
        check=False,
    )

    cases = list(ET.parse(tmp_path / "report.xml").iter("testcase"))
    failed = [
        f"{case.get('package')}: {case.get('classname')}: {failure.text}"
        for case in cases
        for failure in [*case.findall("failure"), *case.findall("error")]
    ]
    assert len(cases) > 140, told.stdout
    assert failed == [], "\n".join(failed)
    proxy.settled().check_books()
