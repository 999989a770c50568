"""The admin page as the running configuration wants it, of one process or of many.

It moves with a reload: to another address, behind another token, to other certificates.
Whoever is in the middle of a question, the order to reload among them, gets the answer.
"""

import logging
from typing import TYPE_CHECKING, Final, final

from trailproxy.build import AdminPlan, BindError
from trailproxy.core.address import Address
from trailproxy.handover import Heritage, Loan
from trailproxy.net.listener import ListenError, bind, listen, listens, release
from trailproxy.net.tasks import spawn

if TYPE_CHECKING:
    from trailproxy.ops.admin import Admin, Backstage

_log: Final = logging.getLogger("trailproxy")


@final
class _Place:
    """An address, and the admin page there."""

    def __init__(self, address: Address, admin: "Admin", loan: Loan | None) -> None:
        """Take the address, or the socket that was open there before us.

        Raises:
            ListenError: it is in use, or not ours.
        """
        self.address: Final = address
        self.admin: Final = admin
        self.foreign = loan is not None  # the path of a unix socket is not ours to remove
        self.listening: Final = bind(address) if loan is None else loan.socket
        if not listens(self.listening):
            listen(self.listening, address)

    async def leave(self) -> None:
        """Answer what was asked, and let go of the address."""
        await self.admin.stop()
        release(self.listening, self.address, foreign=self.foreign)


@final
class AdminPage:
    """Where the admin page is, and who may ask there."""

    def __init__(self, backstage: "Backstage", heritage: Heritage) -> None:
        """Prepare; `backstage` knows the answers, and `heritage` may have a socket for it."""
        self._backstage: Final = backstage
        self._heritage: Final = heritage
        self._place: _Place | None = None
        self._next: _Place | None = None  # where it will be, once the plan is committed
        self._key: object = None

    def prepare(self, plan: AdminPlan) -> None:
        """Take the address of a plan, if it is another one; what is served stays as it is.

        Raises:
            BindError: the address is in use, or not ours.
        """
        if self._place is not None and self._place.address == plan.address:
            return
        # workers have no admin page: without aiohttp they start sooner, and are smaller
        from trailproxy.ops.admin import Admin  # noqa: PLC0415

        try:
            loan = self._heritage.take((plan.address, ""))
            self._next = _Place(plan.address, Admin(self._backstage), loan)
        except ListenError as error:
            raise BindError([f"admin: cannot bind {error}"]) from error

    async def commit(self, plan: AdminPlan) -> None:
        """Serve a plan that was prepared."""
        earlier = self._place
        if self._next is not None:
            self._place, self._next = self._next, None
        elif plan.key == self._key:
            return
        assert self._place is not None  # `prepare` has seen to that
        await self._place.admin.serve(self._place.listening, plan.gate)
        self._key = plan.key
        if earlier is not self._place:
            _log.info("admin page on %s", self._where(plan))
        if plan.caution:
            _log.warning(plan.caution)
        if earlier is not None and earlier is not self._place:
            spawn(earlier.leave(), "the old admin page")  # it may have an answer to give yet

    async def stop(self) -> None:
        """Answer what was asked, and no more."""
        if self._place is not None:
            await self._place.leave()

    def lend(self) -> list[Loan]:
        """Return a copy of the socket, which is the caller's."""
        if self._place is None:
            return []
        return [Loan((self._place.address, ""), self._place.listening.dup(), shared=False)]

    def hand_over(self) -> None:
        """Another process answers from now on: its path is not ours any more."""
        place, self._place = self._place, None
        if place is not None:
            place.foreign = True
            spawn(place.leave(), "the admin page that was handed over")

    def _where(self, plan: AdminPlan) -> str:
        """Tell where it is, as a browser wants it."""
        address = plan.address
        if address.is_unix:
            return str(address)
        scheme = "http" if plan.gate.tls is None else "https"
        return f"{scheme}://{Address(address.host, self.port)}/"

    @property
    def port(self) -> int:
        """The TCP port; 0 when it is nowhere, or on a unix socket."""
        if self._place is None or self._place.address.is_unix:
            return 0
        port: int = self._place.listening.getsockname()[1]
        return port
