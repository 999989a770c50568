"""Attacks: what hostile peers try, against a proxy of real sockets, and what then stands still."""
