"""Hooks: a user's own Python on the parts of an exchange.

`hooks: module:callable` of a route names a callable that is asked once for each request
and returns a `Hook`, or None where it has no interest. Of a Hook only what it overrides
is called. It runs between two frames: it must not wait for anything. What it raises
costs its own exchange, and no other.
"""

import importlib
import logging
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypeVar

from trailproxy.core.fault import Cause, ours
from trailproxy.core.inspection import Halt, Inspector, Interest
from trailproxy.core.record import REQUEST, Direction, Observer, Record
from trailproxy.core.reply import own_reply
from trailproxy.core.trailers import vet_trailers
from trailproxy.wire.errors import ErrorCode, HTTP2Error
from trailproxy.wire.field import Field
from trailproxy.wire.fields import Fields

if TYPE_CHECKING:
    from trailproxy.core.exchange import Exchange

_LOG: Final = logging.getLogger("trailproxy.hooks")

#: Field names and values, in order; a name may stand there more than once.
Pairs = list[tuple[str, str]]
_A = TypeVar("_A")
_T = TypeVar("_T")


class Answer(Exception):  # noqa: N818 - a hook raises its wish, not an error
    """Raised by a hook: answer the request with this, unless a response has begun."""

    def __init__(self, status: int, text: str) -> None:
        """Describe the answer; gRPC gets the status that the HTTP status means to it."""
        super().__init__(text)
        self.status: Final = status
        self.text: Final = text


class Reset(Exception):  # noqa: N818
    """Raised by a hook: reset the stream."""

    def __init__(self, code: int = ErrorCode.CANCEL, why: str = "a hook wanted it so") -> None:
        """Say with which code (RFC 9113 section 7), and why."""
        super().__init__(why)
        self.code: Final = code
        self.why: Final = why


class Call:
    """A request, as its head describes it.

    Attributes:
        route: the name of the route that has the hook.
        peer: the client's address, without port; "unix" for unix sockets.
        method: the method of the request.
        authority: what the request was made to.
        path: the path and query of the request.
        head: its fields as they travel on, pseudo-headers first.
    """

    def __init__(self, record: Record, head: Fields) -> None:
        self.route: Final = record.route
        self.peer: Final = record.peer
        self.method: Final = record.method
        self.authority: Final = record.authority
        self.path: Final = record.path
        self.head: Final = _pairs(head)


class Hook:
    """Looks at one exchange. Override what you need."""

    def response_head(self, head: Pairs) -> None:
        """See the response head, `:status` first."""

    def request_data(self, octets: bytes) -> None:
        """See a piece of the request body."""

    def response_data(self, octets: bytes) -> None:
        """See a piece of the response body."""

    def request_trailers(self, trailers: Pairs) -> Pairs:
        """Return the trailers that travel on; also called for a body without any."""
        return trailers

    def response_trailers(self, trailers: Pairs) -> Pairs:
        """Return the trailers that travel on; also called for a body without any."""
        return trailers

    def end(self, record: Record) -> None:
        """See what has happened; nothing can be changed any more."""


Factory = Callable[[Call], Hook | None]

_WANTED: Final = {
    "request_data": Interest.REQUEST_DATA,
    "response_data": Interest.RESPONSE_DATA,
    "request_trailers": Interest.REQUEST_END,
    "response_trailers": Interest.RESPONSE_END,
}
_PARTS: Final = (*_WANTED, "response_head", "end")


class HookError(Exception):
    """A hook cannot be used; the text says why."""


def load(name: str) -> Factory:
    """Return the callable that `module:callable` names.

    Raises:
        HookError: there is none.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, SyntaxError) as error:
        raise HookError(f"{name}: {error}") from error
    if not callable(found):
        raise HookError(f"{name}: is not callable")
    factory: Factory = found
    return factory


class HookInspector(Inspector):
    """Asks a user's callable for each exchange, and calls the hook it gives."""

    def __init__(self, name: str, factory: Factory) -> None:
        self._name: Final = name
        self._factory: Final = factory

    def look_at(self, exchange: "Exchange") -> Inspector:
        """Return who calls the hook for this exchange."""
        return HookCaller(self._name, self._factory, exchange)


class HookCaller(Inspector):
    """Calls one hook for the parts of one exchange."""

    def __init__(self, name: str, factory: Factory, exchange: "Exchange") -> None:
        proxy = exchange.front.proxy
        self._name: Final = name
        self._record: Final = exchange.record
        self._observer: Final[Observer] = proxy.observer
        self._date: Final = proxy.date
        self._hook: Hook | None = None
        self._failure: Halt | None = None  # of the factory, told when there is an inspection
        try:
            self._hook = self._call(factory, Call(self._record, self._record.asked.relayed))
        except Halt as halt:
            self._failure = halt
        hook = self._hook
        self._overridden: Final = frozenset() if hook is None else _overridden(type(hook))
        self._interests: Final = sum(_WANTED.get(part, 0) for part in self._overridden)

    def interests(self) -> int:
        """Only what the hook looks at."""
        return self._interests

    def begins(self) -> None:
        """Tell what the callable decided."""
        if self._failure is not None:
            raise self._failure

    def response_head(self, head: Fields, end: bool) -> Fields:
        """Show the response head."""
        if self._hook is not None and "response_head" in self._overridden:
            self._call(self._hook.response_head, _pairs(head))
        return head

    def data(self, direction: Direction, octets: bytes) -> None:
        """Show body octets."""
        assert self._hook is not None  # else it has no interests
        see = self._hook.request_data if direction is REQUEST else self._hook.response_data
        self._call(see, octets)

    def trailers(self, record: Record, direction: Direction, trailers: Fields) -> Fields:
        """Show trailers, and take what the hook makes of them."""
        hook = self._hook
        if hook is None or f"{direction}_trailers" not in self._overridden:
            return trailers
        change = hook.request_trailers if direction is REQUEST else hook.response_trailers
        return self._call(lambda before: _changed(before, change(_pairs(before))), trailers)

    def over(self, record: Record) -> None:
        """Show the record."""
        if self._hook is not None and "end" in self._overridden:
            with suppress(Halt):  # too late to matter; it is counted
                self._call(self._hook.end, record)

    def _call(self, what: Callable[[_A], _T], part: _A) -> _T:
        """Call a hook, and time it.

        Raises:
            Halt: it wants no more of the exchange, or it has failed.
        """
        began = perf_counter()
        failed = False
        try:
            return what(part)
        except Answer as answer:
            grpc = self._record.grpc
            reply = own_reply(answer.status, answer.text, speaks_grpc=grpc, date=self._date())
            raise Halt(ours(Cause.HOOK, answer.text), reply) from answer
        except Reset as reset:
            raise Halt(ours(Cause.HOOK, reset.why, code=reset.code)) from reset
        except Exception as error:
            failed = True
            _LOG.exception("hook %s failed", self._name)
            why = f"hook {self._name} failed: {type(error).__name__}"
            fault = ours(Cause.HOOK_FAILED, why, code=ErrorCode.INTERNAL_ERROR)
            raise Halt(fault) from error
        finally:
            self._observer.hook_called(self._name, perf_counter() - began, failed=failed)


def _overridden(kind: type[Hook]) -> frozenset[str]:
    """Return the parts that a class of hooks looks at."""
    return frozenset(part for part in _PARTS if getattr(kind, part) is not getattr(Hook, part))


def _pairs(fields: Fields) -> Pairs:
    return [(f.name.decode("latin-1"), f.value.decode("latin-1")) for f in fields]


def _changed(before: Fields, after: Pairs) -> Fields:
    """Return what a hook made of trailers; marks of fields it left alone survive.

    Raises:
        HTTP2Error: a field may not stand in trailers.
    """
    if after == _pairs(before):
        return before
    known = dict(zip(_pairs(before), before.items, strict=True))
    return vet_trailers(Fields([known.get(pair) or Field(*_octets(pair)) for pair in after]))


def _octets(pair: tuple[str, str]) -> tuple[bytes, bytes]:
    name, value = pair
    try:
        return name.lower().encode("latin-1"), value.encode("latin-1")
    except UnicodeEncodeError as error:
        raise HTTP2Error(f"field {name!r} is not latin-1") from error
