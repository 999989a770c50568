"""Which codec the proxy under test runs on; its peers speak through the other one."""

import os
from typing import Final

from trailproxy.wire import CODECS

#: Set TRAILPROXY_TEST_CODEC to run the same tests on the reference.
CODEC: Final = os.environ.get("TRAILPROXY_TEST_CODEC", CODECS[0])
OTHER: Final = next(name for name in CODECS if name != CODEC)
