"""A DNS server on loopback, that says what a test wants it to, or nothing."""

import asyncio
from collections import Counter
from typing import Final, cast

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class Dns(asyncio.DatagramProtocol):
    """The server.

    Attributes:
        silent: it answers nobody.
        asked: how often it was asked for each name.
    """

    def __init__(self) -> None:
        self.silent = False
        self.asked: Final[Counter[str]] = Counter()
        self._records: Final[dict[tuple[str, str], dns.rrset.RRset]] = {}
        self._transport: asyncio.DatagramTransport

    async def start(self) -> None:
        """Listen on a port of its own."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))

    def stop(self) -> None:
        """Listen no more."""
        self._transport.close()

    @property
    def address(self) -> str:
        """Its host and port."""
        host, port = self._transport.get_extra_info("sockname")
        return f"{host}:{port}"

    def tells(self, name: str, kind: str, ttl: int, *values: str) -> None:
        """Answer with these from now on, for so many seconds."""
        self._records[name, kind] = dns.rrset.from_text(f"{name}.", ttl, "IN", kind, *values)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        """Answer, or do not."""
        question = dns.message.from_wire(data)
        (wanted,) = question.question
        name = wanted.name.to_text().rstrip(".")
        self.asked[name] += 1
        if self.silent:
            return
        answer = dns.message.make_response(question)
        found = self._records.get((name, dns.rdatatype.to_text(wanted.rdtype)))
        if found is not None:
            answer.answer.append(found)
        elif not any(known == name for known, _ in self._records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(answer.to_wire(), addr)
