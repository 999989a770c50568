"""Post: the place of one worker, and whichever process has it now.

A process that ends is replaced until the post is given up, at growing intervals
while it keeps dying young. Nobody waits here for a worker that does not answer
longer than they chose to: what it told last stands until it tells more, and is
folded into the supervisor's own meters when it is gone.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple, final

import msgspec

from trailproxy.build import Seat
from trailproxy.control import Answer, Channel, Ends, Order, Verb, make_ends
from trailproxy.net.claim import Claim
from trailproxy.net.listener import ListenError
from trailproxy.net.tasks import spawn
from trailproxy.ops.metrics import Metrics
from trailproxy.ops.reading import Reading, add_departed
from trailproxy.ops.sight import Sight, Wish

_log: Final = logging.getLogger("trailproxy")
_FIRST_DELAY_S: Final = 0.1  # before a process is replaced; doubles while they die young
_LAST_DELAY_S: Final = 5.0
_YOUNG_S: Final = 10.0
_ANSWER_S: Final = 1.0  # for the meters and the exchanges in flight
_GRACE_S: Final = 3.0  # beyond its drain, before a worker is killed
_MOST_UNANSWERED: Final = 8  # a worker that leaves so many orders unanswered is asked no more


class State(StrEnum):
    """How far a worker is."""

    STARTING = "starting"  # or waiting to be started again
    READY = "ready"
    DRAINING = "draining"


class Charge(NamedTuple):
    """What all workers are to serve."""

    settings: Any  # packed
    claims: Mapping[Seat, Claim]
    drain_s: float


@final
class Post:
    """One of the supervisor's workers.

    Attributes:
        number: what it is called, from 1.
        state: how far it is.
        trouble: why it is not ready; an empty string when nothing is known to be wrong.
        reading: what its process told last.
        settled: set when it was ready for the first time, or is not wanted any more.
    """

    def __init__(self, number: int, charge: Callable[[], Charge], metrics: Metrics) -> None:
        """Begin to have a worker.

        Args:
            number: what it is called.
            charge: returns what is to be served now.
            metrics: the supervisor's, for what stays of processes that are gone.
        """
        # set once
        self.number: Final = number
        self._charge: Final = charge
        self._metrics: Final = metrics
        self._loop: Final = asyncio.get_running_loop()
        self._decode: Final = msgspec.json.Decoder(Answer).decode
        self.settled: Final = asyncio.Event()
        self._given_up: Final = asyncio.Event()
        self._applying: Final = asyncio.Lock()  # one charge after the other
        # of the process there is now
        self.state = State.STARTING
        self.trouble = ""
        self.reading: Reading | None = None
        self._process: Process | None = None
        self._channel: Channel | None = None
        self._seats: set[Seat] = set()  # whose sockets it has
        self._unanswered: Final[dict[int, asyncio.Future[Answer | None]]] = {}
        self._numbers: Final = itertools.count(1)
        self._keeping: Final = spawn(self._keep(), f"post {number}")

    # -- one process after the other -------------------------------------------------------

    async def _keep(self) -> None:
        delay = _FIRST_DELAY_S
        while not self._given_up.is_set():
            born = self._loop.time()
            ended = await self._one_life()
            if self._given_up.is_set():
                _log.info("worker %d %s", self.number, ended)
                return
            if self._loop.time() - born >= _YOUNG_S:
                delay = _FIRST_DELAY_S
            self.trouble = ended
            _log.error("worker %d %s; starting again in %g s", self.number, ended, delay)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._given_up.wait(), delay)
            delay = min(2 * delay, _LAST_DELAY_S)
            self._metrics.restarts[()] += 1

    async def _one_life(self) -> str:
        """Start a process and see it through; return how it ended."""
        try:
            process, ends = await _start(self.number)
        except OSError as error:
            return f"could not be started: {error}"
        closed = asyncio.Event()
        self._process, self._channel = process, Channel(ends, self._hear, closed.set)
        if self._given_up.is_set():
            self._order(Verb.DRAIN)
        beginning = asyncio.ensure_future(self._begin())
        await closed.wait()  # all its words are heard by then
        self._fold()
        status = await process.wait()
        self._process = None
        why = await beginning or _told(status)
        return f"(pid {process.pid}) ended: {why}"

    async def _begin(self) -> str:
        """Have it take up its charge; return why it cannot."""
        problems = await self.apply()
        if problems:
            self._order(Verb.DRAIN)
        elif self._channel is not None and not self._given_up.is_set():
            self.state, self.trouble = State.READY, ""
            self.settled.set()
        return "; ".join(problems)

    def _fold(self) -> None:
        """The channel is gone, and what was on its way with it; what was told stays."""
        assert self._channel is not None
        self._channel.close()
        self._channel = None
        self._seats = set()
        for answer in self._unanswered.values():
            answer.set_result(None)
        self._unanswered.clear()
        if self.reading is not None:
            add_departed(self._metrics, self.reading)
            self.reading = None
        if not self._given_up.is_set():
            self.state = State.STARTING

    # -- orders ----------------------------------------------------------------------------

    async def apply(self) -> tuple[str, ...]:
        """Have the charge of now served; return what is wrong with it, nothing when it is."""
        async with self._applying:
            if self._channel is not None and not self._seats:
                # until it is up: a socket has clients from the moment it is made
                await self._answer_to(self._order(Verb.READ))
            if self._channel is None or self._given_up.is_set():
                return ()  # the next process, if there is one, begins with it
            charge = self._charge()
            try:
                self._hand_over(charge)
            except ListenError as error:
                return (f"cannot listen at {error}",)
            answer = await self._answer_to(self._order(Verb.APPLY, settings=charge.settings))
            if answer is None:
                return ()  # it is gone, as above
            if not answer.problems:
                self._seats = set(charge.claims)
            return answer.problems

    def _hand_over(self, charge: Charge) -> None:
        """Send a listening socket for each seat that is new to the process, or none at all."""
        with contextlib.ExitStack() as made:
            sockets = {
                seat: made.enter_context(charge.claims[seat].listening())
                for seat in charge.claims.keys() - self._seats
            }
            for (address, name), listening in sockets.items():
                self._order(Verb.LISTEN, (str(address), name), descriptor=listening.fileno())

    async def refresh(self) -> None:
        """Ask for a new reading, and give it a moment to come."""
        await self._ask(Verb.READ)

    async def streams(self) -> list[dict[str, Any]]:
        """Return its exchanges in flight; none when it does not tell them in time."""
        answer = await self._ask(Verb.STREAMS)
        told = () if answer is None else answer.streams
        return [{"worker": self.number, **exchange} for exchange in told]

    async def look(self, wish: Wish) -> Sight:
        """Return what there was to be seen; nothing when it does not tell in time."""
        answer = await self._ask(Verb.LOOK, wish=wish)
        sight = Sight() if answer is None or answer.sight is None else answer.sight
        return sight.seen_by(self.number)

    async def timeline(self, key: str) -> dict[str, Any] | None:
        """Return all that is known of an exchange; None when it is forgotten."""
        answer = await self._ask(Verb.TIMELINE, key=key)
        told = None if answer is None else answer.timeline
        if told is not None:
            told["row"] |= {"key": f"{self.number}.{key}", "worker": self.number}
        return told

    async def give_up(self) -> None:
        """Have the process drain, and no other after it; one that takes too long is killed."""
        self.state = State.DRAINING
        self._given_up.set()
        self.settled.set()
        self._order(Verb.DRAIN)
        self._loop.call_later(self._charge().drain_s + _GRACE_S, self._kill)
        await asyncio.wait([self._keeping])

    def hurry(self) -> None:
        """Have the process end now."""
        self._order(Verb.HURRY)
        self._loop.call_later(_GRACE_S, self._kill)

    def _kill(self) -> None:
        if self._process is not None:
            _log.warning("worker %d takes too long to end, and is killed", self.number)
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _ask(self, verb: Verb, **words: Any) -> Answer | None:
        """Return the answer to a question, if it comes in time."""
        if self._channel is None or len(self._unanswered) >= _MOST_UNANSWERED:
            return None
        return await self._answer_to(self._order(verb, **words), _ANSWER_S)

    async def _answer_to(self, number: int, limit: float | None = None) -> Answer | None:
        """Return the answer to an order; None when it is late, or the process is gone."""
        answer: asyncio.Future[Answer | None] = self._loop.create_future()
        self._unanswered[number] = answer
        await asyncio.wait([answer], timeout=limit)
        return answer.result() if answer.done() else None

    def _order(
        self,
        verb: Verb,
        seat: tuple[str, str] = ("", ""),
        *,
        descriptor: int | None = None,
        **words: Any,
    ) -> int:
        number = next(self._numbers)
        if self._channel is not None:
            self._channel.send(Order(number, verb, seat, **words), descriptor)
        return number

    def _hear(self, line: bytes) -> None:
        answer = self._decode(line)
        if answer.reading is not None:
            self.reading = answer.reading  # the latest, however late
        waiting = self._unanswered.pop(answer.number, None)
        if waiting is not None:
            waiting.set_result(answer)


async def _start(number: int) -> tuple[Process, Ends]:
    """Start a process; return it, and our side of its channel.

    It has a session of its own, as the signals of our terminal are for us to pass on, and
    imports from where we do: -P keeps the current folder out, if we were not started from it.
    """
    ours, theirs = make_ends()
    passed = [end.fileno() for end in theirs]
    command = (sys.executable, "-P", "-m", "trailproxy", "worker", *map(str, (number, *passed)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, pass_fds=passed, start_new_session=True, env=environment
        )
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    return process, ours


def _told(status: int) -> str:
    """Say an exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    names = {each.value: each.name for each in signal.Signals}
    return names.get(-status, f"signal {-status}")
