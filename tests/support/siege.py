"""A siege: an attack on a running proxy, beside a neighbour who must not feel it.

What an attack costs is told in the proxy's own CPU time. What is borne, and goes on for as
long as the attacker likes, may cost no more for an octet than small honest requests do, with
the same build on the same machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tests.support.codec import CODEC
from tests.support.frames import GET, Scribe
from tests.support.neighbour import Neighbour
from tests.support.running import Gained, Proxy
from tests.support.scripted_peer import Peer
from trailproxy.flavour import flavour

_SLOWER: Final = 1 if (CODEC, flavour()) == ("native", "compiled") else 10
#: CPU seconds that the neighbour may have to wait for an answer.
LONGEST_WAIT_S: Final = 0.25 * _SLOWER
#: CPU seconds that an attack may take whatever it says; the neighbour's requests are in it.
SMALL_S: Final = 0.25 * _SLOWER
MOST_MEMORY: Final = 16 * 1024 * 1024  # octets, at the peak, above what there was
_ASKED: Final = 600  # honest requests, to know what they cost
_BATCH: Final = 50  # of them at once


@dataclass
class Toll:
    """What an attack has taken."""

    octets: int = 0  # that are borne; the test says so
    memory: int = MOST_MEMORY  # octets that it may take
    gained: Gained | None = None


@dataclass
class Siege:
    """A proxy under attack, its neighbour, and what an octet of honest requests costs."""

    proxy: Proxy
    neighbour: Neighbour
    honest: float  # CPU seconds

    @contextmanager
    def laid(self) -> Iterator[Toll]:
        """Attack within the block; behind it, nobody else must have felt it."""
        proxy, toll = self.proxy, Toll()
        gained = proxy.counting()
        proxy.forget_peak()
        memory = proxy.memory()
        self.neighbour.begins()
        began = proxy.cpu()
        try:
            yield toll
        finally:
            spent = proxy.cpu() - began
            report = self.neighbour.stops()
        grown = proxy.peak_memory() - memory
        toll.gained = gained()
        assert report.lost == []
        assert report.worst < LONGEST_WAIT_S
        assert grown < toll.memory
        assert spent < SMALL_S + toll.octets * self.honest
        proxy.settled().check_books()


def cost_of_honesty(proxy: Proxy) -> float:
    """Return the CPU seconds that an octet of small honest requests costs."""
    scribe, octets = Scribe(), 0
    with Peer.connect(proxy.address) as client:
        began = proxy.cpu()
        for first in range(1, 2 * _ASKED, 2 * _BATCH):
            sids = range(first, first + 2 * _BATCH, 2)
            octets += client.pour(b"".join([scribe.headers(sid, GET, end=True) for sid in sids]))
            client.response(sids[-1])
    return (proxy.cpu() - began) / octets
