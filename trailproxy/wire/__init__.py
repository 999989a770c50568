"""wire: bytes to events and back. No asyncio, no policy, no clock, no logging."""

from trailproxy.wire.codec import Codec, Role, WireParams
from trailproxy.wire.native import NativeCodec

__all__ = ["CODECS", "Codec", "Role", "WireParams", "make_codec"]

#: The names of the codecs, the default first.
CODECS = ("native", "h2")


def make_codec(name: str, role: Role, params: WireParams) -> Codec:
    """Build the codec called `name`, one of CODECS."""
    if name == "native":
        return NativeCodec(role, params)
    if name == "h2":
        # the reference is seldom asked for, and costs 6 MB: it is loaded when it is
        from trailproxy.wire.hyper import H2Codec  # noqa: PLC0415

        return H2Codec(role, params)
    raise ValueError(f"unknown codec {name!r}; there is {', '.join(CODECS)}")
