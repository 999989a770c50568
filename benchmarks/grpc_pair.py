"""A pair of real gRPC ends, written in C: their calls are looked at to the last trailer."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc

CALLERS: Final = 3
PAUSE_S: Final = 0.02  # between the calls of one caller
DEADLINE_S: Final = 20.0
PARTS: Final = 5  # messages of a streamed answer
SERVICE: Final = "test.Pair"


def _once(request: bytes, context: grpc.ServicerContext) -> bytes:
    """Send back what came, and the caller's number in the trailers."""
    context.set_trailing_metadata((("x-number", request.decode()),))
    return request


def _parts(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    """Do so in several messages."""
    for _ in range(PARTS):
        yield request
    context.set_trailing_metadata((("x-number", request.decode()),))


class GrpcPair:
    """The server, and the callers.

    Attributes:
        served: calls that came whole.
        lost: what became of the others.
    """

    def __init__(self) -> None:
        methods = {
            "Once": grpc.unary_unary_rpc_method_handler(_once),
            "Parts": grpc.unary_stream_rpc_method_handler(_parts),
        }
        handler = grpc.method_handlers_generic_handler(SERVICE, methods)
        self._server = grpc.server(ThreadPoolExecutor(4), handlers=[handler])
        self.endpoint = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        self.served = 0
        self.lost: list[str] = []
        self._enough = threading.Event()
        self._counting = threading.Lock()
        self._callers: list[threading.Thread] = []

    def begin(self, target: str) -> None:
        """Call, again and again, by way of `target`."""
        self._callers = [
            threading.Thread(target=self._call, args=(target, first)) for first in range(CALLERS)
        ]
        for caller in self._callers:
            caller.start()

    def rest(self) -> None:
        """Finish."""
        self._enough.set()
        for caller in self._callers:
            caller.join()

    def close(self) -> None:
        """End both ends."""
        self.rest()
        self._server.stop(None)

    def _call(self, target: str, first: int) -> None:
        with grpc.insecure_channel(target) as channel:
            once = channel.unary_unary(f"/{SERVICE}/Once")
            parts = channel.unary_stream(f"/{SERVICE}/Parts")
            number = first
            while not self._enough.is_set():
                word = str(number).encode()
                try:
                    if number % 2:
                        answer, ended = once.with_call(word, timeout=DEADLINE_S)
                        came = [answer]
                    else:
                        ended = parts(word, timeout=DEADLINE_S)
                        came = list(ended)
                    whole = came == [word] * (1 if number % 2 else PARTS)
                    told = dict(ended.trailing_metadata())
                    self._note("" if whole and told.get("x-number") == word.decode() else str(told))
                except grpc.RpcError as error:
                    self._note(f"{error.code()}: {error.details()}")
                number += CALLERS
                time.sleep(PAUSE_S)

    def _note(self, trouble: str) -> None:
        with self._counting:
            if trouble:
                self.lost.append(trouble)
            else:
                self.served += 1
