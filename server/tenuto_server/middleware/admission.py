"""Admission control: which requests are accepted, and how many sequences run at once."""

import json
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from ..config.limits import Limits
from ..error_response import refuse
from ..errors import InvalidRequest, Refusal
from ..paths import GENERATING, GUARDED, path_of
from ..state import ServerState
from .body_checks import MAX_DEPTH, check_body, count_places
from .request_body import BodyReader, Disconnected, replay
from .request_log import current_record


class AdmissionControl:
    """ASGI middleware: lets requests in while the server takes them, and counts them to their last byte.

    Whatever the server is not willing to do is refused here, before the body is made into anything.
    """

    def __init__(self, app: ASGIApp, service: ServerState, limits: Limits) -> None:
        self._app, self._service, self._limits = app, service, limits
        self._inbox = BodyReader(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not path_of(scope).startswith(GUARDED):
            await self._app(scope, receive, send)
            return
        try:
            self._service.admit(order=_is_order(scope))
            body = await self._inbox.read(scope, receive)
            places = self._look_at(body, scope)
            self._service.admit(places, order=_is_order(scope))
        except Refusal as refusal:
            await refuse(refusal, scope, receive, send)
            return
        except Disconnected:
            return
        self._service.begin(places)
        try:
            await self._app(scope, replay(body, receive), send)
        finally:
            current_record().was_cut |= self._service.cutting
            self._service.end(places)

    def _look_at(self, body: bytes, scope: Scope) -> int:
        """Check what the body says, and note it; how many places it takes."""
        parsed = _parse(body)
        record = current_record()
        record.note(parsed, scope)
        check_body(parsed, self._limits)
        places = count_places(path_of(scope), parsed)
        record.sequences = places if path_of(scope) in GENERATING else 0
        return places


def _is_order(scope: Scope) -> bool:
    """Whether it is `POST /v1/requests/{id}/thinking`."""
    path = path_of(scope)
    return path.startswith("/v1/requests/") and path.endswith("/thinking")


def _parse(body: bytes) -> Any:
    """The body's JSON; None for what is none, which the endpoint says better."""
    try:
        return json.loads(body)
    except RecursionError:
        raise InvalidRequest("body", f"is nested more than {MAX_DEPTH} levels deep") from None
    except ValueError:
        return None
