"""Admin: where the admin page of a proxy gets its socket, be it one process or many."""

from typing import TYPE_CHECKING

from trailproxy.build import BindError
from trailproxy.core.address import Address
from trailproxy.handover import Heritage
from trailproxy.net.listener import ListenError, bind, listen, listens

if TYPE_CHECKING:
    from trailproxy.ops.admin import Admin, Backstage


async def start_admin(backstage: "Backstage", address: Address, heritage: Heritage) -> "Admin":
    """Start an admin page.

    Raises:
        BindError: the address is in use, or not ours.
    """
    # workers have no admin page: without aiohttp they start sooner, and are smaller
    from trailproxy.ops.admin import Admin  # noqa: PLC0415

    loan = heritage.take((address, ""))
    try:
        listening = bind(address) if loan is None else loan.socket
        if not listens(listening):
            listen(listening, address)
    except ListenError as error:
        raise BindError([f"admin: cannot bind {error}"]) from error
    admin = Admin(backstage)
    await admin.start(listening)
    return admin
