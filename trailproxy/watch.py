"""Watch: files that change without anybody saying so.

Certificates are renewed by others, and configuration files replaced by whoever mounts
them. Files are looked at, not subscribed to: a symbolic link to a directory that is
swapped, which is how Kubernetes does it, changes no file that could tell.
"""

import os
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Final, final

from trailproxy.ops.settings import Settings

_Look = tuple[int, int, int] | None  # when it was written, its size and its inode


class Change(Enum):
    """What is another than before."""

    NOTHING = "nothing"
    CERTIFICATES = "certificates"
    CONFIGURATION = "configuration"


@final
class Watch:
    """The files of a running configuration."""

    def __init__(self, configuration: Path) -> None:
        """Prepare to look at the configuration file, and at what it names."""
        self._configuration: Final = str(configuration)
        self._running: dict[str, _Look] = {}  # what was last taken up
        self._latest: dict[str, _Look] = {}

    def look(self, settings: Settings) -> Change:
        """Say what has changed and come to rest: a file that is being written waits a look.

        What is told once is not told again, whatever becomes of it.
        """
        certificates = set(certificate_files(settings))
        looks = {path: _look(path) for path in (*certificates, self._configuration)}
        changed = {
            path
            for path, found in looks.items()
            if self._running.setdefault(path, found) != found and self._latest.get(path) == found
        }
        self._latest = looks
        if settings.watch == "all" and self._configuration in changed:
            self._running = looks
            return Change.CONFIGURATION
        if settings.watch != "off" and changed & certificates:
            self._running |= {path: looks[path] for path in certificates}
            return Change.CERTIFICATES
        return Change.NOTHING


def certificate_files(settings: Settings) -> Iterable[str]:
    """Return every certificate, key, CA and token file that settings name."""
    for listener in settings.listeners:
        if listener.tls is not None:
            yield from _named(*listener.tls.files)
    if settings.admin.tls is not None:
        yield from _named(*settings.admin.tls.files)
    yield from _named(settings.admin.token_file)
    for upstream in settings.upstreams:
        if upstream.tls is not None:
            yield from _named(upstream.tls.ca, upstream.tls.certificate, upstream.tls.private_key)


def _named(*paths: str | None) -> Iterable[str]:
    return (path for path in paths if path is not None)


def _look(path: str) -> _Look:
    try:
        found = os.stat(path)
    except OSError:
        return None  # who reads it will say why
    return found.st_mtime_ns, found.st_size, found.st_ino
