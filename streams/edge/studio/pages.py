"""The studio's login, the form of a new page, and its progress."""

import logging
import time
from collections.abc import Sequence
from typing import Any, cast, get_args
from urllib.parse import quote
from uuid import uuid4

from aiohttp import web

from infra.tenants import digest_of
from processors.studio.variants import japanese
from processors.studio.words import WORDS
from schemas.errors import DecodeError, Retryable
from schemas.generation import GenerationRequest, Result, Stage, VariantRequest, decode_model, encode_model
from streams.edge.beacons.sender import Record
from streams.edge.http.connections import peer_of
from streams.edge.http.errors import HttpError, needing
from streams.edge.rest.asks import check_ask, send_asks
from streams.edge.site import pages as api
from streams.edge.site import uploads
from streams.edge.studio.arms import LP_ID
from streams.edge.studio.auth import ASKS, LOOKS, PATH, Visit, drop_session, set_session
from streams.edge.studio.forms import EMPTY, INDUSTRIES, PURPOSES, Wrong, id_for, read
from streams.edge.studio.places import tested_at

log = logging.getLogger(__name__)

LONGEST_TOKEN = 512
# browsers keep typed text for `Back` only if a page may be stored
KEPT = "private, no-cache"
STAGES: Sequence[str] = get_args(Stage)


# -- login -------------------------------------------------------------------------------------------------


async def log_in(visit: Visit) -> web.Response:
    """Exchange a token for a session cookie."""
    token = visit.form.get("token", "").strip()[:LONGEST_TOKEN]
    client = peer_of(visit.request)
    caller = visit.services.tenants.caller(token)
    if caller is None or caller.role not in (*ASKS, *LOOKS):
        visit.services.logins.check(client)
        visit.services.logins.wrong(client, token)
        return visit.page("login", status=401, error=visit.say("token_wrong"))
    with needing("Redis"):
        session = await visit.services.sessions.begin(digest_of(token))
    answer = web.Response(status=303, headers={"Location": PATH})
    set_session(visit, answer, session)
    return answer


async def log_out(visit: Visit) -> web.Response:
    """End the session, on the server and in the browser."""
    with needing("Redis"):
        await visit.services.sessions.end(visit.known.session)
    # the browser also forgets the forms that it keeps for `Back`
    answer = web.Response(status=303, headers={"Location": PATH, "Clear-Site-Data": '"cache"'})
    drop_session(visit, answer)
    return answer


# -- a new page --------------------------------------------------------------------------------------------


async def new(visit: Visit) -> web.Response:
    """Return the empty form."""
    return _form(visit, EMPTY, {}, str(uuid4()))


def _form(visit: Visit, given: dict[str, str], errors: dict[str, Wrong], request_id: str) -> web.Response:
    answer = visit.page(
        "new",
        status=422 if errors else 200,
        here="new",
        given=given,
        errors={name: _message(visit, wrong) for name, wrong in errors.items()},
        request_id=request_id,
        industries=INDUSTRIES[visit.language],
        purposes=PURPOSES[visit.language],
    )
    answer.headers["Cache-Control"] = KEPT
    return answer


def _message(visit: Visit, wrong: Wrong) -> str:
    """Return the text of an error, with the lines or words that it is about."""
    told = visit.say(wrong.text)
    if wrong.lines:
        return visit.say("error_lines", lines=", ".join(map(str, wrong.lines)), message=told)
    return visit.say("error_words", words=", ".join(wrong.words), message=told) if wrong.words else told


async def ask(visit: Visit) -> web.Response:
    """Send the posted form as a request. The same form posted twice is the same request."""
    given, generation, errors = read(visit.form, visit.known.tenant)
    if generation is None:
        return _form(visit, given, errors, str(uuid4()))
    try:
        await check_ask(visit.services.objects, generation)
    except DecodeError as error:
        named = error.field.removeprefix("assets.")
        field = named if named in ("picture", "logo") else "other"
        # without the upload that cannot be used, the form can be sent again
        return _form(visit, given | {field: ""}, {field: Wrong(f"error_{field}")}, str(uuid4()))
    generation = generation.model_copy(update={"request_id": id_for(generation)})
    await send(visit, generation, generation.business.name)
    return web.Response(status=303, headers={"Location": f"{PATH}/requests/{generation.request_id}"})


async def send(visit: Visit, generation: GenerationRequest | VariantRequest, name: str) -> None:
    """Send a request, and note it under a name among the latest.

    Raise HttpError 503 if Kafka does not take it.
    """
    key = str(generation.request_id).encode()
    record = Record(encode_model(generation), key, key, None)
    sent = await send_asks(visit.services.sender, visit.services.results, [record], None)
    if sent[0].error_code is not None:
        raise HttpError(503, visit.say("stores_away"))
    now_ms = int(time.time() * 1000)
    tenant = visit.known.tenant
    try:
        await visit.services.results.put_queued(tenant, generation.request_id, now_ms)
        await visit.services.asked.note(tenant, key.decode(), name, now_ms)
    except Retryable as error:
        log.warning("a request is in Kafka, but Redis did not store its state: %s", error)


async def upload(visit: Visit) -> web.StreamResponse:
    """Store a picture or a logo for the form, and return the upload as JSON."""
    return await uploads.upload(visit.request, visit.services, caller=visit.known.caller)


# -- its progress ------------------------------------------------------------------------------------------


async def progress(visit: Visit, request_id: str) -> web.Response:
    """Return the studio's page that shows a request: its progress, then its result."""
    request_uuid = api.uuid_of(request_id)
    tenant = visit.known.tenant
    stored, latest = await api.state_of(visit.services, request_uuid)
    result = None if stored is None else decode_model(Result, stored)
    if (result and result.tenant_id != tenant) or (result is None and (latest is None or latest[0] != tenant)):
        raise HttpError(404, visit.say("not_found"))
    stage = latest[1].stage if latest else "queued"
    return visit.page(
        "request",
        request_id=str(request_uuid),
        result=result,
        percent=latest[1].percent if latest else 0,
        stage=stage,
        stages=STAGES,
        at=STAGES.index(stage),
        warnings=_warnings(visit, result),
        **await _variant(visit, result),
    )


async def _variant(visit: Visit, result: Result | None) -> dict[str, Any]:
    """Return a variant's template variables. If it was not made, the address names its parent."""
    variant, error = (result.variant, result.error) if result else (None, None)
    query = visit.request.query.get("of", "")
    asked = query if LP_ID.fullmatch(query) and visit.known.caller.tenant.owns(query) else ""
    refused = error is not None and (error.field or "").startswith("variant")
    is_variant = bool(variant or refused or (asked and not (result and result.lp_id)))
    texts = (variant and variant.differs, error and error.detail)
    differs, failure = (japanese(text) if text and visit.language == "ja" else None for text in texts)
    return {
        "is_variant": is_variant,
        "tested_at": await tested_at(visit, variant.of) if variant else None,
        "differs": differs,
        "failure": failure,
        "again": f"{PATH}/variants/{quote(asked)}" if asked else None if is_variant else f"{PATH}/new",
    }


def _warnings(visit: Visit, result: Result | None) -> list[str]:
    """Return the result's warnings, in the visitor's language if there is a text for them."""
    texts = []
    for warning in result.warnings if result else []:
        word = f"warning_{warning.code}"
        texts.append(visit.say(word) if word in WORDS[visit.language] else warning.detail)
    return list(dict.fromkeys(texts))


async def state(visit: Visit, request_id: str) -> web.StreamResponse:
    """Return the state as JSON, for the script if server-sent events do not arrive."""
    return await api.status(visit.request, visit.services, caller=visit.known.caller, request_id=request_id)


async def events(visit: Visit, request_id: str) -> web.StreamResponse:
    """Send progress as server-sent events."""
    return await api.events(visit.request, visit.services, caller=visit.known.caller, request_id=request_id)


async def preview(visit: Visit, request_id: str) -> web.StreamResponse:
    """Return the page for the frame: without scripts, and with an origin other than the studio's.

    That origin is `null`, which the public listener refuses. So the page's pictures come from the studio.
    """
    answer = await api.preview(visit.request, visit.services, caller=visit.known.caller, request_id=request_id)
    public = visit.services.settings.page_base_url
    body = bytes(cast(bytes, answer.body) or b"").replace(f"{public}/assets/".encode(), f"{PATH}/assets/".encode())
    policy = api.PREVIEW_CSP.format(public="'self'") + "; frame-ancestors 'self'"
    return web.Response(
        body=body, headers={"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy}
    )
