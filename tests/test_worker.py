"""A worker: a process at the end of a channel, with the test as its supervisor."""

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from trailproxy.control import Answer, Order, Verb, make_ends
from trailproxy.ops.settings import pack, parse

SEAT = ("127.0.0.1:0", "main")
SETTINGS: Any = pack(
    parse(
        """
listeners: [{name: main, bind: "127.0.0.1:0"}]
upstreams: [{name: app, endpoints: ["127.0.0.1:1"]}]
routes: [{name: all, match: {path_prefix: /}, upstream: app}]
access_log: {path: "off"}
""",
        "t",
        {},
    )
)


class Worker:
    """The process, and our end of its channel."""

    def __init__(self) -> None:
        self.ends, theirs = make_ends()
        self.ends.hearing.settimeout(10)
        passed = [end.fileno() for end in theirs]
        command = [sys.executable, "-m", "trailproxy", "worker", *map(str, (7, *passed))]
        self.process = subprocess.Popen(command, pass_fds=passed, stderr=subprocess.PIPE, text=True)
        theirs.close()
        self._read = b""

    def order(self, *words: Any, descriptors: tuple[int, ...] = (), **more: Any) -> None:
        line = msgspec.json.encode(Order(*words, **more)) + b"\n"
        socket.send_fds(self.ends.saying, [line], descriptors)

    def answer(self) -> Answer:
        while b"\n" not in self._read:
            piece = self.ends.hearing.recv(100_000)
            assert piece, "the channel was closed"
            self._read += piece
        line, _, self._read = self._read.partition(b"\n")
        return msgspec.json.decode(line, type=Answer)

    def ended(self) -> tuple[int, str]:
        """Wait for its end; return exit status and stderr."""
        _, told = self.process.communicate(timeout=10)
        return self.process.returncode, told


@pytest.fixture
def worker() -> Iterator[Worker]:
    started = Worker()
    yield started
    started.ends.close()
    started.process.kill()
    started.process.communicate()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def test_it_serves_what_it_is_given_until_it_is_told_to_drain(
    worker: Worker, listening: socket.socket
) -> None:
    worker.order(1, Verb.LISTEN, SEAT, descriptors=(listening.fileno(),))
    worker.order(2, Verb.APPLY, settings=SETTINGS)
    assert worker.answer() == Answer(2)
    with socket.create_connection(listening.getsockname()) as client:
        client.settimeout(10)
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"505" in client.recv(1000)
    worker.order(3, Verb.STREAMS)
    assert worker.answer() == Answer(3)
    worker.order(4, Verb.DRAIN)
    last = worker.answer()
    assert last.number == 0
    assert last.reading is not None
    status, told = worker.ended()
    assert (status, "worker 7" in told) == (0, True)


@pytest.mark.parametrize("serving", [False, True])
def test_it_ends_when_its_supervisor_is_gone(
    worker: Worker, listening: socket.socket, serving: bool
) -> None:
    if serving:
        worker.order(1, Verb.LISTEN, SEAT, descriptors=(listening.fileno(),))
        worker.order(2, Verb.APPLY, settings=SETTINGS)
        assert worker.answer() == Answer(2)
    worker.order(3, Verb.READ)
    select.select([worker.ends.hearing], [], [], 10)  # an answer that nobody will read
    worker.ends.close()
    status, told = worker.ended()
    assert status == (0 if serving else 1)
    assert "Traceback" not in told


def test_it_says_what_keeps_it_from_starting_and_ends(
    worker: Worker, listening: socket.socket
) -> None:
    worker.order(1, Verb.LISTEN, SEAT, descriptors=(listening.fileno(),))
    worker.order(2, Verb.APPLY, settings={**SETTINGS, "access_log": {"path": "/no/such/log"}})
    (problem,) = worker.answer().problems
    assert problem == "access_log.path: /no/such/log: No such file or directory"
    assert worker.ended()[0] == 1


def test_a_mistake_of_ours_ends_it_too(worker: Worker) -> None:
    worker.order(1, Verb.APPLY, settings=SETTINGS)  # and no socket for its listener
    status, told = worker.ended()
    assert (status, "apply died" in told) == (1, True)


def test_a_reload_takes_new_sockets_and_closes_those_it_has_no_use_for(
    worker: Worker, listening: socket.socket
) -> None:
    worker.order(1, Verb.LISTEN, SEAT, descriptors=(listening.fileno(),))
    worker.order(2, Verb.APPLY, settings=SETTINGS)
    assert worker.answer() == Answer(2)
    sockets = f"/proc/{worker.process.pid}/fd"
    before = len(os.listdir(sockets))
    worker.order(3, Verb.LISTEN, SEAT, descriptors=(listening.fileno(),))
    worker.order(4, Verb.APPLY, settings=SETTINGS)
    assert worker.answer() == Answer(4)
    assert len(os.listdir(sockets)) == before
