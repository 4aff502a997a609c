"""Admission control: which requests are accepted, and how many sequences run at once."""

import json
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from ..config.limits import Limits
from ..context import current_request
from ..error_response import refuse
from ..errors import InvalidRequest, Refusal
from ..paths import Endpoint, endpoint_of
from ..state import ServerState
from .body_checks import MAX_DEPTH, check_body, check_characters, count_slots
from .request_body import BodyReader, Disconnected, replay
from .request_log import current_record

#: How many names of fields are kept, for errors that name one.
_MAX_FIELDS = 256


class AdmissionControl:
    """ASGI middleware: accepts requests while the server has slots, and holds their slots until the last byte is sent.

    A body that exceeds a limit is refused here, before an endpoint parses it.
    """

    def __init__(self, app: ASGIApp, state: ServerState, limits: Limits) -> None:
        self._app, self._state, self._limits = app, state, limits
        self._bodies = BodyReader(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = endpoint_of(scope)
        if scope["type"] != "http" or not endpoint.is_guarded:
            await self._app(scope, receive, send)
            return
        try:
            self._state.admit(steering=endpoint.steers)
            body = await self._bodies.read(scope, receive)
            slots = self._check(body, scope, endpoint)
            self._state.admit(slots, steering=endpoint.steers)
        except Refusal as refusal:
            await refuse(refusal, scope, receive, send)
            return
        except Disconnected:
            return
        self._state.begin(slots)
        try:
            await self._app(scope, replay(body, receive), send)
        finally:
            current_record().was_cut |= self._state.cutting
            self._state.end(slots)

    def _check(self, body: bytes, scope: Scope, endpoint: Endpoint) -> int:
        """Check the body and add it to the request's record; the number of slots that the request takes."""
        parsed = _parse(body)
        record = current_record()
        record.add_body(parsed, scope)
        current_request().fields = tuple(parsed)[:_MAX_FIELDS] if isinstance(parsed, dict) else ()
        check_body(parsed, self._limits)
        check_characters(parsed, body)
        slots = count_slots(endpoint, parsed)
        record.sequences = slots if endpoint.generates else 0
        return slots


def _parse(body: bytes) -> Any:
    """The body's JSON, or None if it is not JSON: the endpoint has a better error for that."""
    try:
        return json.loads(body)
    except RecursionError:
        raise InvalidRequest("body", f"is nested more than {MAX_DEPTH} levels deep") from None
    except ValueError:
        return None
