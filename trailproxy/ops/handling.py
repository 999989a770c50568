"""Handling: what a route does with ends and trailers, compiled from its settings.

Who checks what came stands before who changes it, who adds to it stands last. Of what
a route does not ask for, nothing is made.
"""

from typing import Final

from trailproxy.core import hooks
from trailproxy.core.digest import DigestCheck, DigestMaker
from trailproxy.core.inspection import Inspector, Policy
from trailproxy.core.routing import Handling, OnFailure
from trailproxy.core.rules import Names, Put, Remove, Rename, Rules, TrailerRules
from trailproxy.core.timing import ServerTiming
from trailproxy.core.trailers import TrailerLimits
from trailproxy.ops.retry_settings import retry_policy
from trailproxy.ops.route_settings import MessageTrailers, RouteSettings, Written
from trailproxy.wire.field import Field

_ON_FAILURE: Final = {
    None: OnFailure.GRPC,
    "trailers": OnFailure.TRAILERS,
    "reset": OnFailure.RESET,
}


def handling(settings: RouteSettings) -> Handling:
    """Compile what a route asks for.

    Raises:
        HookError: its hooks cannot be used.
    """
    trailers = settings.trailers
    inspectors = _inspectors(settings)
    return Handling(
        on_failure=_ON_FAILURE[settings.on_upstream_failure],
        request_limits=_limits(trailers.request),
        response_limits=_limits(trailers.response),
        policy=Policy(inspectors) if inspectors else None,
        retry=retry_policy(settings.retry),
    )


def _inspectors(settings: RouteSettings) -> list[Inspector]:
    inspectors: list[Inspector] = []
    if settings.digest == "verify":
        inspectors.append(DigestCheck(resets=settings.on_digest_mismatch == "reset"))
    if settings.hooks is not None:
        inspectors.append(hooks.HookInspector(settings.hooks, hooks.load(settings.hooks)))
    request, response = _rules(settings.trailers.request), _rules(settings.trailers.response)
    if request is not None or response is not None:
        inspectors.append(TrailerRules(request, response))
    if settings.digest == "add":
        inspectors.append(DigestMaker())
    if settings.server_timing:
        inspectors.append(ServerTiming())
    return inspectors


def _limits(settings: MessageTrailers) -> TrailerLimits:
    cuts = settings.on_excess == "cut"
    return TrailerLimits(settings.max_fields, int(settings.max_size), cuts=cuts)


def _rules(settings: MessageTrailers) -> Rules | None:
    """Return the rules of a direction; None if all passes as it comes."""
    verbs = (settings.deny, settings.rename, settings.remove, settings.set, settings.append)
    passes_all = "*" in settings.allow
    if passes_all and not any(verbs):
        return None
    return Rules(
        allow=None if passes_all else Names(settings.allow),
        deny=Names(settings.deny) if settings.deny else None,
        rename=tuple(Rename(_name(v.name), _name(v.to), v.when) for v in settings.rename),
        remove=tuple(Remove(_name(v.name), v.when) for v in settings.remove),
        assign=tuple(_put(verb) for verb in settings.set),
        append=tuple(_put(verb) for verb in settings.append),
    )


def _name(name: str) -> bytes:
    return name.lower().encode()


def _put(verb: Written) -> Put:
    return Put(Field(_name(verb.name), verb.value.encode()), verb.when)
