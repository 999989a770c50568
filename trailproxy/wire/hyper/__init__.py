"""hyper: the codec over the h2 package, the reference for every other.

Nothing outside this folder knows h2, hpack or hyperframe. It leans on private
names of h2 4.4; the codec contract test is the alarm.
"""

from trailproxy.wire.hyper.codec import H2Codec

__all__ = ["H2Codec"]
