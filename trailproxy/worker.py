"""Worker: one of several processes that serve the same addresses.

It does what its supervisor orders and answers each order; it has no
configuration file, no address and no admin page of its own. When the supervisor
is gone it drains, as if told to: nobody is left to ask it for anything.
"""

import asyncio
import signal
import socket
from typing import Any, Final, final

import msgspec

from trailproxy.app import App
from trailproxy.build import BuildError
from trailproxy.control import Answer, Channel, Ends, Order, Verb
from trailproxy.core.address import parse_address
from trailproxy.handover import Heritage, Loan
from trailproxy.net.loop import run as run_loop
from trailproxy.net.tasks import spawn
from trailproxy.ops.settings import Settings, unpack


@final
class Worker:
    """An App at the end of a control channel."""

    def __init__(self, ends: Ends) -> None:
        """Prepare; `ends` are our side of the channel."""
        # set once
        self._decode: Final = msgspec.json.Decoder(Order).decode
        self._heritage: Final = Heritage()
        self._app: Final = App(self._read, self._heritage, supervised=True)
        self._channel: Final = Channel(ends, self._hear, self._drain)
        self._changing: Final = asyncio.Lock()  # one order after the other
        # written by orders
        self._came: list[Loan] = []  # for the next APPLY
        self._settings: Settings | None = None
        self._serving = False

    async def run(self) -> int:
        """Obey until the end; return the exit status."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._drain)
        for number in (signal.SIGINT, signal.SIGHUP):  # meant for the supervisor
            signal.signal(number, signal.SIG_IGN)
        await self._app.finish()
        self._channel.send(Answer(0, reading=self._app.reading()))
        self._channel.close()
        return 0 if self._serving else 1

    def _hear(self, line: bytes) -> None:
        order = self._decode(line)
        if order.verb is Verb.LISTEN:
            address, name = order.seat
            listening = socket.socket(fileno=self._channel.take_descriptor())
            seat = parse_address(address), name
            self._came.append(Loan(seat, listening, shared=False))
        elif order.verb is Verb.APPLY:
            came, self._came = self._came, []
            spawn(self._apply(order, came), "apply")
        elif order.verb is Verb.READ:
            self._channel.send(Answer(order.number, reading=self._app.reading()))
        elif order.verb in (Verb.STREAMS, Verb.LOOK, Verb.TIMELINE):
            spawn(self._tell(order), order.verb)
        elif order.verb is Verb.DRAIN:
            self._drain()
        else:
            self._app.hurry()

    async def _apply(self, order: Order, came: list[Loan]) -> None:
        try:
            problems = await self._take_up(order.settings, came)
            self._channel.send(Answer(order.number, problems))
        finally:
            if not self._serving:
                self._app.drain()  # to end: the supervisor starts another

    async def _take_up(self, packed: Any, came: list[Loan]) -> tuple[str, ...]:
        """Serve these settings with these sockets; return what is wrong with them."""
        async with self._changing:
            self._heritage.add(came)
            self._settings = unpack(packed)
            try:
                if self._serving:
                    await self._app.apply(self._settings)
                else:
                    await self._app.start()
                    self._serving = True
            except BuildError as error:
                return error.problems
            finally:
                self._heritage.close()
        return ()

    def _read(self) -> Settings:
        assert self._settings is not None  # the app reads them once, when it starts
        return self._settings

    async def _tell(self, order: Order) -> None:
        number = order.number
        if order.verb is Verb.STREAMS:
            answer = Answer(number, streams=tuple(await self._app.streams()))
        elif order.verb is Verb.LOOK:
            answer = Answer(number, sight=await self._app.look(order.wish))
        else:
            answer = Answer(number, timeline=await self._app.timeline(order.key))
        self._channel.send(answer)

    def _drain(self) -> None:
        spawn(self._drain_in_turn(), "drain")

    async def _drain_in_turn(self) -> None:
        async with self._changing:
            self._app.drain()


def run(hearing: int, saying: int) -> int:
    """Be a worker at the other side of these descriptors; return the exit status."""

    async def obey() -> int:
        ends = Ends(socket.socket(fileno=hearing), socket.socket(fileno=saying))
        return await Worker(ends).run()

    return run_loop(obey())
