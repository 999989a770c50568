"""Watch: what has changed is told once, when it has come to rest."""

import os
from pathlib import Path

import pytest

from trailproxy.ops.settings import Settings, parse
from trailproxy.watch import Change, Watch

TEXT = """
listeners:
  - {{name: main, bind: "127.0.0.1:0", tls: {{certificate: {0}/crt, private_key: {0}/key}}}}
upstreams: [{{name: app, endpoints: ["127.0.0.1:1"], tls: {{ca: {0}/ca}}}}]
routes: [{{name: all, match: {{}}, upstream: app}}]
watch: {1}
"""


class Folder:
    """A configuration and what it names."""

    def __init__(self, path: Path, watch: str) -> None:
        self.path = path
        for name in ("crt", "key", "ca", "yaml"):
            self.write(name, "1")
        self.settings: Settings = parse(TEXT.format(path, watch), "t.yaml", {})
        self.watch = Watch(path / "yaml")
        assert self.looks(2) == [Change.NOTHING] * 2

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)

    def looks(self, times: int) -> list[Change]:
        return [self.watch.look(self.settings) for _ in range(times)]


TOLD = [Change.NOTHING, Change.CERTIFICATES, Change.NOTHING]


@pytest.mark.parametrize("name", ["crt", "key", "ca"])
def test_a_new_certificate_is_told_once_and_when_it_is_whole(tmp_path: Path, name: str) -> None:
    folder = Folder(tmp_path, "certificates")
    folder.write(name, "22")
    assert folder.looks(1) == [Change.NOTHING]
    folder.write(name, "333")  # the writer was not done
    assert folder.looks(3) == TOLD


def test_a_file_that_is_replaced_by_one_alike_is_another(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "certificates")
    before = (tmp_path / "crt").stat()
    folder.write("new", "2")
    os.utime(tmp_path / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tmp_path / "new").replace(tmp_path / "crt")
    assert folder.looks(3) == TOLD


def test_a_file_that_is_gone_is_a_change_and_so_is_its_return(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "certificates")
    (tmp_path / "crt").unlink()
    assert folder.looks(3) == TOLD
    folder.write("crt", "4")
    assert folder.looks(3) == TOLD


@pytest.mark.parametrize(
    ("watch", "told"),
    [("certificates", Change.NOTHING), ("all", Change.CONFIGURATION), ("off", Change.NOTHING)],
)
def test_the_configuration_is_watched_only_where_that_is_wanted(
    tmp_path: Path, watch: str, told: Change
) -> None:
    folder = Folder(tmp_path, watch)
    folder.write("yaml", "22")
    assert folder.looks(3) == [Change.NOTHING, told, Change.NOTHING]


def test_certificates_that_come_with_a_configuration_are_taken_up_with_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "all")
    folder.write("yaml", "22")
    folder.write("crt", "22")
    assert folder.looks(3) == [Change.NOTHING, Change.CONFIGURATION, Change.NOTHING]


def test_nothing_is_told_where_nobody_watches(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "off")
    folder.write("crt", "22")
    assert folder.looks(3) == [Change.NOTHING] * 3


def test_files_that_a_reload_has_named_anew_are_no_change(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "certificates")
    other = tmp_path / "other"
    other.mkdir()
    folder.settings = Folder(other, "certificates").settings
    assert folder.looks(3) == [Change.NOTHING] * 3
