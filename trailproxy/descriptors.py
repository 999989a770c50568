"""Descriptors: how many files this process may open, beside how many its limits ask for.

Every connection is one. Who may have more than he has by now (`ulimit -n` beside
`ulimit -Hn`) takes what the configuration asks for, and no more.
"""

import resource
from typing import Final

from trailproxy.ops.settings import Settings

_FEWEST: Final = 64  # what there is before the first client: the loop, sockets, files, a log
_HOW: Final = "raise it (LimitNOFILE= of the unit, `ulimit -n`)"


def too_few() -> str:
    """Say why not even the event loop could start; an empty string if it can."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    _raise_to(_FEWEST)
    if not _reaches(most, _FEWEST):
        return f"this process may open {most} files, and needs {_FEWEST} before any client: {_HOW}"
    return ""


def make_room(settings: Settings) -> str:
    """Take what the limits ask for; say what is lacking, or return an empty string."""
    wanted = needed(settings)
    _raise_to(wanted)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _reaches(most, wanted):
        return ""
    return (
        f"this process may open {most} files, and its limits ask for {wanted}: {_HOW}, "
        "or lower limits.max_connections"
    )


def needed(settings: Settings) -> int:
    """Return how many are open when every limit is reached."""
    clients = settings.limits.max_connections * len(settings.listeners)
    upstreams = sum(each.max_connections * len(each.endpoints) for each in settings.upstreams)
    return _FEWEST + clients + upstreams


def _raise_to(wanted: int) -> None:
    """Have that many, or as many as may be had; never fewer than before."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    least = wanted if _reaches(most, wanted) else most
    if not _reaches(now, least):
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, most))


def _reaches(limit: int, wanted: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= wanted
