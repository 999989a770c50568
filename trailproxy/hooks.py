"""What a module with hooks imports: `from trailproxy.hooks import Hook, Answer, Reset`.

docs/trailers.md has two worked examples.
"""

from trailproxy.core.hooks import Answer, Call, Hook, Pairs, Reset
from trailproxy.core.record import Record

__all__ = ["Answer", "Call", "Hook", "Pairs", "Record", "Reset"]
