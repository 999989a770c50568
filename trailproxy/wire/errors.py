"""The error codes of RFC 9113 section 7, and the one exception of this package.

Only *our own* mistakes raise. What a peer does wrong is an event, so that one
bad message never takes the rest of a read with it.
"""

from enum import IntEnum


class ErrorCode(IntEnum):
    """Why a stream or a connection ended (RFC 9113 section 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


_NAMES = {int(code): code.name for code in ErrorCode}


def code_name(code: int) -> str:
    """Name an error code; codes nobody registered share one name, so labels stay bounded."""
    return _NAMES.get(code, "UNKNOWN")


class HTTP2Error(Exception):
    """The caller asked for something that must not reach the wire.

    Attributes:
        code: what it would have been on the wire (RFC 9113 section 7).
    """

    def __init__(self, why: str, code: ErrorCode = ErrorCode.PROTOCOL_ERROR) -> None:
        super().__init__(why)
        self.code = code
