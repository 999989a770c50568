"""wire: bytes to events and back. No asyncio, no policy, no clock, no logging."""

from trailproxy.wire.codec import Codec, Role, WireParams
from trailproxy.wire.hyper import H2Codec

__all__ = ["CODECS", "Codec", "Role", "WireParams", "make_codec"]

CODECS = ("h2",)


def make_codec(name: str, role: Role, params: WireParams) -> Codec:
    """Build the codec called `name`, one of CODECS."""
    if name != "h2":
        raise ValueError(f"unknown codec {name!r}; there is {', '.join(CODECS)}")
    return H2Codec(role, params)
