"""Rules: what a route does to trailers, as its configuration says.

Always in one order: what may not pass goes, names change, fields go, are set and are
added. What no rule speaks of passes as it came, in its place.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple, final

from trailproxy.core.inspection import Inspector, Interest
from trailproxy.core.record import REQUEST, Direction, Record
from trailproxy.wire.field import Field, Recurring
from trailproxy.wire.fields import Fields


class When:
    """In which exchanges a rule holds."""

    ALWAYS: Final = "always"
    SUCCESS: Final = "success"
    FAILURE: Final = "failure"


class Rename(NamedTuple):
    """Fields of one name get another."""

    name: bytes
    to: bytes
    when: str = When.ALWAYS


class Remove(NamedTuple):
    """Fields of a name go."""

    name: bytes
    when: str = When.ALWAYS


class Put(NamedTuple):
    """A field is set, in place of all of its name, or appended."""

    field: Field
    when: str = When.ALWAYS


@final
class Names:
    """A set of field names; one that ends in * stands for all that begin so."""

    def __init__(self, patterns: Iterable[str]) -> None:
        given = [pattern.lower().encode() for pattern in patterns]
        self._exact: Final = frozenset(name for name in given if name[-1:] != b"*")
        self._prefixes: Final = tuple(name[:-1] for name in given if name[-1:] == b"*")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, bytes) and (name in self._exact or name.startswith(self._prefixes))


@final
class Rules:
    """What happens to the trailers of one direction."""

    def __init__(
        self,
        *,
        allow: Names | None = None,
        deny: Names | None = None,
        rename: tuple[Rename, ...] = (),
        remove: tuple[Remove, ...] = (),
        assign: tuple[Put, ...] = (),
        append: tuple[Put, ...] = (),
    ) -> None:
        """Describe it.

        Args:
            allow: nothing else passes; None: all do.
            deny: these do not pass.
            rename: fields that get another name.
            remove: fields that go.
            assign: fields that take the place of all with their name, or stand last.
            append: fields that stand last.
        """
        self._allow: Final = allow
        self._deny: Final = deny
        self._rename: Final = rename
        self._remove: Final = remove
        self._assign: Final = assign
        self._append: Final = append
        self.adds: Final = bool(assign or append)
        # of a list that recurs, what became of it last time
        self._before: Fields | None = None
        self._after = Fields([])
        self._failed = False

    def apply(self, trailers: Fields, *, failed: bool) -> Fields:
        """Return the trailers as they depart; the same object if no rule touched them."""
        if trailers is self._before and failed == self._failed:
            return self._after
        made = self._apply(trailers, failed)
        if trailers.recurring is not None:
            if made is not trailers:
                made.recurring = Recurring()
            self._before, self._after, self._failed = trailers, made, failed
        return made

    def _apply(self, trailers: Fields, failed: bool) -> Fields:
        other = When.SUCCESS if failed else When.FAILURE  # in which nothing happens now
        items = [field for field in trailers.items if self._passes(field.name)]
        renamed = {each.name: each.to for each in self._rename if each.when != other}
        if renamed:
            items = [_renamed(field, renamed.get(field.name)) for field in items]
        gone = [each.name for each in self._remove if each.when != other]
        items = [field for field in items if field.name not in gone]
        for put in self._assign:
            if put.when != other:
                items = _assigned(items, put.field)
        items += [put.field for put in self._append if put.when != other]
        return trailers if items == trailers.items else Fields(items)

    def _passes(self, name: bytes) -> bool:
        if self._deny is not None and name in self._deny:
            return False
        return self._allow is None or name in self._allow


def _renamed(field: Field, name: bytes | None) -> Field:
    return field if name is None else Field(name, field.value, field.never_indexed)


def _assigned(items: list[Field], field: Field) -> list[Field]:
    """Put a field in the place of the first of its name; the others go."""
    kept = []
    place = None
    for item in items:
        if item.name != field.name:
            kept.append(item)
        elif place is None:
            place = len(kept)
            kept.append(field)
    return kept if place is not None else [*kept, field]


@final
class TrailerRules(Inspector):
    """The rules of a route; it keeps nothing of an exchange."""

    def __init__(self, request: Rules | None, response: Rules | None) -> None:
        self._request: Final = request
        self._response: Final = response
        adds_to_request = request is not None and request.adds
        adds_to_response = response is not None and response.adds
        self._interests: Final = (Interest.REQUEST_END if adds_to_request else 0) | (
            Interest.RESPONSE_END if adds_to_response else 0
        )

    def interests(self) -> int:
        """Ends without trailers, where fields are set or appended."""
        return self._interests

    def trailers(self, record: Record, direction: Direction, trailers: Fields) -> Fields:
        """Apply the rules."""
        if direction is REQUEST:
            rules = self._request
            failed = False
        else:
            rules = self._response
            failed = has_failed(record)
        return trailers if rules is None else rules.apply(trailers, failed=failed)


def has_failed(record: Record) -> bool:
    """Tell whether a response says that the request has failed; known at its trailers."""
    if record.status >= 400 or record.dropped is not None:
        return True
    return record.grpc and record.grpc_status != "0"
