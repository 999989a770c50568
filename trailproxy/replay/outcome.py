"""Outcome: what came of a request, and in what two of them differ.

Values of trailers differ from one time to the next (checksums of other bodies, timings);
that they are there, and which, does not.
"""

from dataclasses import dataclass
from typing import Final

from trailproxy.probe.message import Message
from trailproxy.wire.errors import code_name

CANCELLED: Final = "cancelled"
"""The client wanted no more: nobody knows how it would have ended."""
_MAX_TEXT: Final = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a client has seen of a response."""

    status: int  # 0: there was none
    grpc_status: str  # wherever it stood; empty: there was none
    ending: str  # end, trailers, reset, cancelled, or why there was none; empty: not known
    trailers: tuple[tuple[str, str], ...] = ()
    detail: str = ""  # of the ending, for people

    @classmethod
    def of(cls, message: Message) -> "Outcome":
        """Tell what a message was."""
        ending, detail = _ending(message)
        return cls(
            status=0 if message.head is None else int(message.head.status),
            grpc_status=message.trailer("grpc-status") or message.header("grpc-status"),
            ending=ending,
            trailers=tuple(
                (field.name.decode("latin-1"), field.value.decode("latin-1"))
                for field in message.trailers or ()
            ),
            detail=detail,
        )

    def differences(self, now: "Outcome") -> list[str]:
        """Say in what this one, which was captured, and the one of now differ."""
        if self.ending == CANCELLED:
            return []
        found = []
        if self.status != now.status:
            found.append("status")
        if self.grpc_status != now.grpc_status:
            found.append("grpc-status")
        if self.ending not in ("", now.ending):
            found.append("ending")
        if self.ending and _names(self) != _names(now):
            found.append("trailers")
        return found

    def tell(self) -> str:
        """Say it in one line; what peers chose is quoted."""
        said = [str(self.status or "no response")]
        if self.grpc_status:
            said.append(f"grpc-status {_quoted(self.grpc_status)}")
        others = [f"{name}: {value}" for name, value in self.trailers if name != "grpc-status"]
        if others:
            said.append(_quoted(f"trailers {', '.join(others)}"))
        if self.ending not in ("", "end", "trailers"):
            said.append(_quoted(self.detail or self.ending))
        return ", ".join(said)


def _ending(message: Message) -> tuple[str, str]:
    if message.reset is not None:
        return "reset", f"RST_STREAM {code_name(message.reset)}"
    if message.fault:
        return "malformed", f"malformed: {message.fault}"
    if not message.ended:
        return "no end", "no end"
    return ("end" if message.trailers is None else "trailers"), ""


def _names(outcome: Outcome) -> list[str]:
    return sorted(name for name, _ in outcome.trailers)


def _quoted(text: str) -> str:
    """Escape what is not printable ASCII, as Python does, and cut it."""
    return "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in text[:_MAX_TEXT])
