"""Gallery: which exchanges have a witness while somebody looks, and what witnesses wrote.

While nobody looks there is no witness, and no inspector on a route that has none of its
own. However busy the proxy is, so many exchanges a second get a witness, so many have
one at once, and of so many that are over the writings are kept; the rest is only counted.
"""

import secrets
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol

from trailproxy.core.inspection import Inspector
from trailproxy.core.record import Record
from trailproxy.core.witness import Witness

if TYPE_CHECKING:
    from trailproxy.core.exchange import Exchange
    from trailproxy.core.proxy import Proxy

MOST_FLYING: Final = 400
"""How many exchanges in flight have a witness at once; a new one takes the place of the oldest."""
MOST_ENDED: Final = 400
"""How many that are over are remembered."""
MOST_WEIGHT: Final = 8 * 1024 * 1024
"""How many octets of field lists the records of those may hold together."""
MOST_A_SECOND: Final = 200
"""How many that begin get a witness in a second; each costs 0.2 ms, so it is 4 % of a CPU."""
AT_ONCE: Final = 50
"""How many that had begun before anybody looked get theirs at one look."""


class Net(Protocol):
    """Who wants the witnesses of some exchanges, however many others there are."""

    def wants(self, record: Record) -> bool:
        """Say whether an exchange is one of those, as its request head has come."""
        ...

    def cast(self, witness: Witness) -> None:
        """Say what its witness should keep."""
        ...

    def haul(self, witness: Witness) -> None:
        """Take the witness; the exchange is over."""
        ...


class Gallery(Inspector):
    """The witnesses of one process.

    Attributes:
        flying: the witnesses of exchanges in flight, by key, the oldest first.
        ended: those of exchanges that are over, the same.
        fresh: which of these nobody has been told of yet.
        missed: exchanges that had no witness, or were forgotten before anybody was told.
        net: wants some exchanges in any case.
    """

    def __init__(self, proxy: "Proxy") -> None:
        """Prepare; nobody looks yet."""
        self.flying: Final[dict[str, Witness]] = {}
        self.ended: Final[dict[str, Witness]] = {}
        self.fresh: Final[dict[str, Witness]] = {}
        self.missed = 0
        self.net: Net | None = None
        self._proxy: Final = proxy
        self._open = False
        self._curious = False  # about all exchanges, not only those of the net
        self._earlier: list[Exchange] = []  # had begun before anybody looked
        self._token = ""  # of this time: keys are not to be guessed
        self._numbers: Final = count(1)
        self._weight = 0  # of those that are over
        self._second = 0.0  # when it began, in clock seconds
        self._lately = 0  # how many got a witness in it

    # -- to look, and to look away -------------------------------------------------------

    def open(self, *, curious: bool) -> None:
        """Look: at whatever there is if `curious`, else at what the net wants."""
        if not self._open:
            self._open = True
            self._token = secrets.token_hex(6)
            self._proxy.show_to(self)
        if curious and not self._curious:
            self._earlier = self._proxy.exchanges[:MOST_FLYING]
        elif self._curious and not curious:
            self._forget(netted_too=False)
        self._curious = curious
        self._join_earlier()

    def close(self) -> None:
        """Look away: what is in flight goes on as if nobody had looked."""
        if not self._open:
            return
        self._open = self._curious = False
        self._proxy.show_to(None)
        self.net = None
        self._forget(netted_too=True)

    def find(self, key: str) -> Witness | None:
        """Return what is remembered under a key."""
        return self.flying.get(key) or self.ended.get(key)

    def _forget(self, *, netted_too: bool) -> None:
        """Call witnesses back, and keep nothing of what they wrote."""
        for key, witness in list(self.flying.items()):
            if netted_too or witness.net is None:
                del self.flying[key]
                witness.leave()
        self.ended.clear()
        self.fresh.clear()
        self._weight = 0
        self._earlier = []
        self.missed = 0

    def _join_earlier(self) -> None:
        known = {witness.record for witness in self.flying.values()}
        now, self._earlier = self._earlier[:AT_ONCE], self._earlier[AT_ONCE:]
        for exchange in now:
            if not exchange.finished and exchange.record not in known and self._has_room():
                self._send(exchange).join()

    # -- Inspector -----------------------------------------------------------------------

    def look_at(self, exchange: "Exchange") -> Inspector:
        """Return a witness; ourselves, who look at nothing, where there is none to be had."""
        net = self.net if self.net is not None and self.net.wants(exchange.record) else None
        if (net is None and not self._has_time()) or not self._has_room():
            self.missed += self._curious
            return self
        witness = self._send(exchange)
        if net is not None:
            witness.net = net
            net.cast(witness)
        witness.begin()
        return witness

    def _has_time(self) -> bool:
        """Tell whether one more will do in this second."""
        if not self._curious:
            return False
        now = self._proxy.now()
        if now - self._second >= 1.0:
            self._second, self._lately = now, 0
        self._lately += 1
        return self._lately <= MOST_A_SECOND

    def _has_room(self) -> bool:
        """Tell whether one more can be kept; the oldest that nobody asked for makes room."""
        if len(self.flying) < MOST_FLYING:
            return True
        oldest = next((key for key, each in self.flying.items() if each.net is None), None)
        if oldest is None:
            return False
        self.flying.pop(oldest).leave()
        self.missed += 1
        return True

    def _send(self, exchange: "Exchange") -> Witness:
        key = f"{self._token}-{next(self._numbers)}"
        self.flying[key] = witness = Witness(key, exchange, self._over)
        return witness

    def _over(self, witness: Witness) -> None:
        """An exchange is over."""
        key = witness.key
        del self.flying[key]
        if witness.net is not None:
            witness.net.haul(witness)
        if not self._curious:
            return
        self.ended[key] = self.fresh[key] = witness
        self._weight += witness.record.weight
        while len(self.ended) > MOST_ENDED or self._weight > MOST_WEIGHT:
            oldest = next(iter(self.ended))
            self._weight -= self.ended.pop(oldest).record.weight
            self.missed += self.fresh.pop(oldest, None) is not None
