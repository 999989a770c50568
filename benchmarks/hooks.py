"""A hook to measure: the least that does something with every part of a response."""

from trailproxy.hooks import Call, Hook, Pairs


class Counts(Hook):
    """Tells behind a response how many octets it had."""

    def __init__(self, _call: Call) -> None:
        self.octets = 0

    def response_data(self, octets: bytes) -> None:
        """Count them."""
        self.octets += len(octets)

    def response_trailers(self, trailers: Pairs) -> Pairs:
        """Tell."""
        return [*trailers, ("x-octets", str(self.octets))]
