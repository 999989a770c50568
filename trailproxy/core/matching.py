"""Matching: what a request must look like for a route to take it.

No route is asked by itself. The path looks its routes up: those with that very path, with
a prefix it has, with a pattern it fits, or without a wish. Of these only the ones that ask
for more, a method or a field, are then asked, in the order they were written. So a thousand
routes cost no more than ten, unless they all want one path.
"""

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from mypy_extensions import i64, mypyc_attr

if TYPE_CHECKING:
    from trailproxy.core.message import Request

NOWHERE: Final[i64] = 1 << 30

FindPatterns = Callable[[bytes], list[int]]
"""Returns which of some patterns a path fits, by their number; in any order."""

CombinePatterns = Callable[[list[str]], FindPatterns]
"""Makes of patterns what looks a path up in all of them at once."""

_SLASH: Final = 0x2F
_QUESTION_MARK: Final = 0x3F


@mypyc_attr(allow_interpreted_subclasses=True)
class Condition:
    """What a route asks for beyond authority and path."""

    def fits(self, asked: "Request") -> bool:
        """Tell whether a request has it."""
        raise NotImplementedError


@final
class HasMethod(Condition):
    """The request has this method."""

    def __init__(self, method: str) -> None:
        self._method: Final = method

    def fits(self, asked: "Request") -> bool:
        """Tell whether a request has it; methods have case (RFC 9110 section 9.1)."""
        return asked.method == self._method


@final
class IsGrpc(Condition):
    """The request is a gRPC call; to this method, of whatever service, if one is given."""

    def __init__(self, method: bytes = b"") -> None:
        self._tail: Final = b"/" + method if method else b""

    def fits(self, asked: "Request") -> bool:
        """Tell whether a request is one."""
        return asked.grpc and (not self._tail or asked.plain_path.endswith(self._tail))


@final
class HasField(Condition):
    """One field line of this name has a value that will do."""

    def __init__(self, name: bytes, will_do: Callable[[bytes], object] | None = None) -> None:
        """Ask for a field by its name in lower case; without `will_do` any value will."""
        self._name: Final = name
        self._will_do: Final = will_do

    def fits(self, asked: "Request") -> bool:
        """Tell whether a request has one."""
        for value in asked.relayed.all(self._name):
            if self._will_do is None or self._will_do(value):
                return True
        return False


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a route asks for; of the three kinds of path one at most is given."""

    authority: bytes = b""  # in lower case; empty: any; *.example.com: its subdomains
    path: bytes = b""  # this path alone
    prefix: bytes = b""  # whole segments
    pattern: str = ""  # a regular expression for the whole path
    conditions: tuple[Condition, ...] = ()


@final
class _Candidates:
    """The routes that ask for one path, by their places."""

    __slots__ = ("_choosy", "_first")

    def __init__(self) -> None:
        self._first: i64 = NOWHERE  # of those without conditions
        self._choosy: list[tuple[int, tuple[Condition, ...]]] | None = None

    def add(self, place: int, conditions: tuple[Condition, ...]) -> None:
        if not conditions:
            self._first = min(self._first, place)
            return
        if self._choosy is None:
            self._choosy = []
        insort(self._choosy, (place, conditions), key=_place)

    def best(self, best: i64, asked: "Request") -> i64:
        """Return the place of the first route that takes the request, or `best`, if lower."""
        best = min(best, self._first)
        if self._choosy is not None:
            for place, conditions in self._choosy:
                if place >= best:
                    break
                if _all_fit(conditions, asked):
                    return place
        return best


def _place(entry: tuple[int, tuple[Condition, ...]]) -> int:
    return entry[0]


def _all_fit(conditions: tuple[Condition, ...], asked: "Request") -> bool:
    for condition in conditions:  # noqa: SIM110 - compiled, all() would make a list first
        if not condition.fits(asked):
            return False
    return True


@final
class Paths:
    """What the routes of one authority ask of paths."""

    __slots__ = ("_any", "_depth", "_exact", "_find", "_fitting", "_open", "_patterns", "_whole")

    def __init__(self) -> None:
        self._any: Final = _Candidates()
        self._exact: Final[dict[bytes, _Candidates]] = {}
        self._open: Final[dict[bytes, _Candidates]] = {}  # /greet/ fits all that begins with it
        self._whole: Final[dict[bytes, _Candidates]] = {}  # /greet fits /greet, /greet/x, /greet?x
        self._depth: i64 = 0  # slashes in the prefix that has most
        self._patterns: Final[list[str]] = []
        self._fitting: Final[list[_Candidates]] = []  # of each pattern
        self._find: FindPatterns | None = None

    def add(self, wanted: Wanted, place: int) -> None:
        """Take up what the route at this place asks for."""
        self._candidates(wanted).add(place, wanted.conditions)

    def _candidates(self, wanted: Wanted) -> _Candidates:
        if wanted.path:
            return self._exact.setdefault(wanted.path, _Candidates())
        if wanted.pattern:
            self._patterns.append(wanted.pattern)
            self._fitting.append(_Candidates())
            return self._fitting[-1]
        if not wanted.prefix:
            return self._any
        self._depth = max(self._depth, wanted.prefix.count(b"/"))
        prefixes = self._open if wanted.prefix[-1:] == b"/" else self._whole
        return prefixes.setdefault(wanted.prefix, _Candidates())

    def combine(self, combine: CombinePatterns) -> None:
        """Make the patterns ready, once all are known."""
        if self._patterns:
            self._find = combine(self._patterns)

    def find(self, best: i64, asked: "Request") -> i64:
        """Return the place of the first route that takes the request, or `best`, if lower."""
        best = self._any.best(best, asked)
        if self._depth > 0:
            best = self._find_prefix(best, asked)
        if self._exact or self._find is not None:
            best = self._find_whole(best, asked)
        return best

    def _find_prefix(self, best: i64, asked: "Request") -> i64:
        """Look each beginning of the path up that may be a prefix."""
        path = asked.plain_path
        slashes: i64 = 0
        position: i64 = 0
        size: i64 = len(path)
        while position < size:
            octet = path[position]
            if octet == _SLASH:
                if self._whole:
                    best = _better(self._whole.get(path[:position]), best, asked)
                slashes += 1
                if slashes > self._depth:
                    return best
                if self._open:
                    best = _better(self._open.get(path[: position + 1]), best, asked)
            elif octet == _QUESTION_MARK:
                break
            position += 1
        return _better(self._whole.get(path[:position]), best, asked) if self._whole else best

    def _find_whole(self, best: i64, asked: "Request") -> i64:
        """Look the path up without its query."""
        path = asked.plain_path.partition(b"?")[0]
        best = _better(self._exact.get(path), best, asked)
        if self._find is not None:
            for number in self._find(path):
                best = self._fitting[number].best(best, asked)
        return best


def _better(candidates: _Candidates | None, best: i64, asked: "Request") -> i64:
    return best if candidates is None else candidates.best(best, asked)
