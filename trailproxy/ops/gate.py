"""Gate: who may ask the admin page for more than whether it is well.

It knows no secret, only what tells one: its digest. So nothing that prints it can tell.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What is asked of whoever asks."""

    digest: bytes = b""  # of the bearer token; empty: none is asked for
    tls: "ssl.SSLContext | None" = None
    asks: bool = False  # for a certificate that the TLS context has verified

    @property
    def open(self) -> bool:
        """Whether nothing is asked for."""
        return not self.digest and not self.asks

    def knows(self, authorization: str) -> bool:
        """Tell whether an Authorization field has the token (RFC 6750 section 2.1).

        It takes as long for a token that is nearly right as for any other.
        """
        scheme, _, told = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(
            digest_of(told.strip()), self.digest
        )


def digest_of(token: str) -> bytes:
    """Return what a gate knows of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
