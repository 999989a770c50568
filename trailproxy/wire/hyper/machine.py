"""Machine: h2's connection as our codec wants it: unvalidated, unlogged, without Huffman coding.

Fields are judged by `fields` and `ledger`, so h2 is told to keep its hands off
them; what is left of it are HPACK, the stream states and the windows.
"""

from collections.abc import Iterable
from typing import Any, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings
from hpack import Decoder, Encoder, HeaderTuple, HPACKDecodingError

from trailproxy.wire.codec import WireParams

_DEFAULT_WINDOW: Final = 65_535  # RFC 9113 section 6.9.2
_MOST_SIZES: Final = 2  # table sizes in a block: the least since the last one, and the last


class _Machine(H2Connection):
    """h2's connection, without the walk over all streams for each new one."""

    def _open_streams(self, remainder: int) -> int:
        return len(self.streams)  # without push all are of one kind


class _PlainEncoder(Encoder):
    """hpack's encoder, without Huffman coding.

    It shifts one huge integer: 7 ms for a value of 4,000 octets, 870 ms for one of
    60,000, with the loop standing still. Plain, both take less than 0.1 ms.

    Of several table sizes it would tell them all; one that is above the last is a
    fault to the peer (RFC 7541 section 6.3), so the least and the last are told. And it
    would forget a size that is set twice.
    """

    def encode(
        self, headers: Iterable[Any] | dict[Any, Any], huffman: bool = False
    ) -> bytes:  # huffman: h2 never gives it
        """Encode a field block."""
        sizes = self.table_size_changes
        if sizes:
            least, last = min(sizes), sizes[-1]
            self.table_size_changes = [last] if least == last else [least, last]
            self.header_table.resized = True
        return super().encode(headers, huffman)


class StrictDecoder(Decoder):
    """hpack's decoder, which hears no more table sizes in a block than there can be.

    Each is an octet, and a block of nothing else would keep the loop for a second (RFC 7541
    section 4.2).
    """

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:
        """Decode a field block."""
        self._sizes = 0
        return super().decode(data, raw)

    def _update_encoding_context(self, data: bytes | memoryview) -> int:
        self._sizes += 1
        if self._sizes > _MOST_SIZES:
            raise HPACKDecodingError("a table size where there can be none")
        return super()._update_encoding_context(data)


def make_machine(params: WireParams, *, client: bool) -> H2Connection:
    """Build one end of a connection; its preface and SETTINGS wait to be written."""
    machine = _Machine(
        H2Configuration(
            client_side=client,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
        )
    )
    values = {
        SettingCodes.MAX_CONCURRENT_STREAMS: params.max_concurrent_streams,
        SettingCodes.INITIAL_WINDOW_SIZE: params.stream_window,
        SettingCodes.MAX_FRAME_SIZE: params.max_frame_size,
        SettingCodes.MAX_HEADER_LIST_SIZE: params.max_header_list,
        SettingCodes.ENABLE_PUSH: 0,
    }
    machine.local_settings = Settings(client=client, initial_values=values)
    machine.encoder = _PlainEncoder()
    machine.initiate_connection()
    if params.connection_window > _DEFAULT_WINDOW:
        machine.increment_flow_control_window(params.connection_window - _DEFAULT_WINDOW)
    return machine
