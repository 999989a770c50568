"""Certificates made on the fly: one authority, and what it signs."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files, as a configuration names them.

    `ca` signed everything but the stranger, who has an authority of its own.
    """

    ca: str
    server: str
    server_key: str
    client: str
    client_key: str
    stranger: str
    stranger_key: str
    other_ca: str

    def server_tls(self, *, client_ca: bool = False) -> dict[str, str]:
        """Return the `tls` mapping of a listener."""
        tls = {"certificate": self.server, "private_key": self.server_key}
        return {**tls, "client_ca": self.ca} if client_ca else tls

    def server_context(self, *, client_ca: bool = False, alpn: str = "h2") -> ssl.SSLContext:
        """Return a context for a backend that speaks TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server, self.server_key)
        context.set_alpn_protocols([alpn])
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context

    def client_context(self, alpn: str = "h2") -> ssl.SSLContext:
        """Return a context for a client that trusts the authority and shows no certificate."""
        context = ssl.create_default_context(cafile=self.ca)
        context.set_alpn_protocols([alpn])
        return context


def make_certificates(folder: Path) -> Certificates:
    """Write a fresh set of PEM files into `folder`."""
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.crt")
    other.cert_pem.write_to_path(folder / "other-ca.crt")
    issued = {
        "server": authority.issue_cert("localhost", "127.0.0.1", "app.local"),
        "client": authority.issue_cert("client.local"),
        "stranger": other.issue_cert("stranger.local"),
    }
    for name, leaf in issued.items():
        leaf.private_key_pem.write_to_path(folder / f"{name}.key")
        for pem in leaf.cert_chain_pems:
            pem.write_to_path(folder / f"{name}.crt", append=True)
    return Certificates(
        ca=str(folder / "ca.crt"),
        other_ca=str(folder / "other-ca.crt"),
        **{name: str(folder / f"{name}.crt") for name in issued},
        **{f"{name}_key": str(folder / f"{name}.key") for name in issued},
    )


class Renewal:
    """A server's certificate that is replaced by another of the same authority."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        ca, self._server, self._key = (
            str(folder / name) for name in ("live-ca.crt", "live.crt", "live.key")
        )
        self._authority.cert_pem.write_to_path(ca)
        self.ca = ca
        self.renew()

    @property
    def tls(self) -> dict[str, str]:
        """The `tls` mapping of a listener."""
        return {"certificate": self._server, "private_key": self._key}

    def renew(self) -> None:
        """Put a new certificate and key in place, each file whole at every moment."""
        leaf = self._authority.issue_cert("localhost", "127.0.0.1")
        for path, pem in (
            (self._key, leaf.private_key_pem),
            (self._server, leaf.cert_chain_pems[0]),
        ):
            fresh = Path(path + ".new")
            pem.write_to_path(fresh)
            fresh.replace(path)
