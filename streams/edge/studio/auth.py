"""Who uses the studio, in which language, and what every answer of it carries.

A browser comes with a cookie, never with a token: HttpOnly, SameSite=Strict, for `/studio` alone. What changes
something is posted from a page of ours: by its origin, and by a value that only the session's own pages have.
"""

import hmac
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from aiohttp import hdrs, web

from infra.redis.sessions import SESSION_S, form_token
from infra.tenants import Caller, Role
from processors.pictures.words import Language
from processors.studio.pages import render
from processors.studio.words import WORDS
from schemas.errors import LpstreamError
from streams.edge.http.bodies import read_body
from streams.edge.http.errors import SERVER_NAME, HttpError
from streams.edge.services import Services
from streams.edge.studio.files import NAMES

log = logging.getLogger(__name__)

COOKIE, LANGUAGE_COOKIE = "lpstream_studio", "lpstream_language"
PATH = "/studio"
YEAR_S = 31_536_000
MOST_FIELDS = 64
FORM = "application/x-www-form-urlencoded"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # `no-referrer` would take the origin from our own forms
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
ASKS: tuple[Role, ...] = ("application", "operator")
LOOKS: tuple[Role, ...] = ("analyst", "operator")


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is logged in, and the session's name."""

    caller: Caller
    session: str

    @property
    def tenant(self) -> str:
        """The tenant's id."""
        return self.caller.tenant.id

    @property
    def form_token(self) -> str:
        """What this session's forms carry."""
        return form_token(self.session)

    @property
    def may_ask(self) -> bool:
        """Whether pages may be requested."""
        return self.caller.role in ASKS

    @property
    def may_look(self) -> bool:
        """Whether heatmaps may be seen."""
        return self.caller.role in LOOKS


@dataclass(frozen=True, slots=True)
class Visit:
    """One request to the studio."""

    request: web.BaseRequest
    services: Services
    language: Language
    visitor: Visitor | None
    form: dict[str, str]

    @property
    def known(self) -> Visitor:
        """Who it is; only for what nobody else may see."""
        if self.visitor is None:
            raise HttpError(401, self.say("session_over"))
        return self.visitor

    def say(self, word: str, **values: object) -> str:
        """A word in the visitor's language."""
        return WORDS[self.language][word].format(**values)

    def page(self, name: str, *, status: int = 200, here: str = "", **values: Any) -> web.Response:
        """A page of the studio."""
        html = render(
            name,
            self.language,
            visitor=self.visitor,
            here=here,
            files=NAMES,
            languages={language: self._in(language) for language in WORDS},
            **values,
        )
        return web.Response(status=status, text=html, content_type="text/html", charset="utf-8")

    def _in(self, language: Language) -> str:
        """This page in that language; what a form showed is asked for anew."""
        if self.request.method != "GET":
            return f"{PATH}?lang={language}"
        return str(self.request.rel_url.update_query(lang=language))


class Redirect(Exception):  # noqa: N818 - no error
    """What was asked for is at another address of ours."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


View = Callable[..., Awaitable[web.StreamResponse]]


def studio(view: View, *roles: Role, open_to_all: bool = False) -> View:
    """The handler of a view: `view(visit, **values)`. Errors become pages, and every answer gets its headers."""

    @wraps(view)
    async def handle(
        request: web.BaseRequest, services: Services, *, caller: Caller | None, **values: str
    ) -> web.StreamResponse:
        visit = Visit(request, services, language_of(request), None, {})
        try:
            visit = await _admitted(visit, roles, open_to_all=open_to_all)
            answer = await view(visit, **values)
        except Redirect as elsewhere:
            answer = web.Response(status=303, headers={"Location": elsewhere.address})
        except HttpError as error:
            answer = _told(visit, error)
        return _dressed(visit, answer)

    return handle


async def _admitted(visit: Visit, roles: tuple[Role, ...], *, open_to_all: bool) -> Visit:
    """The visit with who it is and what was posted; HttpError when it may not go on."""
    posts = visit.request.method == "POST"
    if posts:
        _check_origin(visit)
    visitor = await visitor_of(visit)
    if visitor is None and not open_to_all:
        if not posts and "text/html" in visit.request.headers.get("Accept", ""):
            raise Redirect(f"{PATH}?over=1")
        raise HttpError(401, visit.say("session_over"))
    if visitor is not None and roles and visitor.caller.role not in roles:
        raise HttpError(403, visit.say("forbidden", roles=", ".join(roles)))
    found = replace(visit, visitor=visitor, form=await _posted(visit) if posts else {})
    if posts and not open_to_all:
        check_form(found)
    return found


async def visitor_of(visit: Visit) -> Visitor | None:
    """Who the cookie's session belongs to, if its token is still in the tenants' file."""
    session = visit.request.cookies.get(COOKIE)
    if not session or len(session) > 100:
        return None
    try:
        digest = await visit.services.sessions.token_digest(session, visit.services.tenants.digests)
    except LpstreamError as error:
        raise HttpError(503, visit.say("stores_away")) from error
    caller = None if digest is None else visit.services.tenants.holder(digest)
    return None if caller is None else Visitor(caller, session)


def _check_origin(visit: Visit) -> None:
    """What is posted comes from our own pages, as far as the browser tells; HttpError 403."""
    headers = visit.request.headers
    site, origin = headers.get("Sec-Fetch-Site"), headers.get(hdrs.ORIGIN)
    ours = {visit.request.host, urlsplit(visit.services.settings.api_base_url).netloc}
    if site not in (None, "same-origin", "none") or (origin is not None and urlsplit(origin).netloc not in ours):
        raise HttpError(403, visit.say("form_old"))


async def _posted(visit: Visit) -> dict[str, str]:
    if visit.request.content_type != FORM:
        raise HttpError(415, f"Content-Type: give {FORM}")
    with visit.services.admission.room() as room:
        body = await read_body(visit.request, visit.services.settings, room)
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"))
    except ValueError as error:
        raise HttpError(400, visit.say("wrong")) from error


def check_form(visit: Visit) -> None:
    """The form is one of this session's; HttpError 403."""
    given = visit.form.get("form", "")
    if not hmac.compare_digest(given.encode(), visit.known.form_token.encode()):
        raise HttpError(403, visit.say("form_old"))


# -- answers -----------------------------------------------------------------------------------------------


def _told(visit: Visit, error: HttpError) -> web.Response:
    known = {404: "not_found", 503: "stores_away"}.get(error.status)
    told = visit.say(known) if known else error.message
    answer = visit.page("error", status=error.status, told=told, status_code=error.status)
    if error.status in (429, 503):
        answer.headers["Retry-After"] = str(error.retry_after_s)
    return answer


def _dressed(visit: Visit, answer: web.StreamResponse) -> web.StreamResponse:
    """What every answer carries; a stream has gone out already, and was given its headers by its handler."""
    if answer.prepared:
        return answer
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    answer.headers[hdrs.SERVER] = SERVER_NAME
    if (chosen := visit.request.query.get("lang")) in WORDS:
        answer.set_cookie(
            LANGUAGE_COOKIE, chosen, max_age=YEAR_S, path=PATH, samesite="Strict", httponly=True, secure=_https(visit)
        )
    return answer


def set_session(visit: Visit, answer: web.Response, session: str) -> None:
    """Give the browser its session."""
    answer.set_cookie(
        COOKIE, session, max_age=SESSION_S, path=PATH, httponly=True, samesite="Strict", secure=_https(visit)
    )


def drop_session(visit: Visit, answer: web.Response) -> None:
    """Take it from the browser."""
    answer.del_cookie(COOKIE, path=PATH, httponly=True, samesite="Strict", secure=_https(visit))


def _https(visit: Visit) -> bool:
    return urlsplit(visit.services.settings.api_base_url).scheme == "https"


# -- languages ---------------------------------------------------------------------------------------------


def language_of(request: web.BaseRequest) -> Language:
    """What was chosen, else the first of the browser's that there is, else Japanese."""
    for chosen in (request.query.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if chosen in WORDS:
            return chosen
    return _accepted(request.headers.get("Accept-Language", "")[:500])


def _first(language: str) -> Language | None:
    primary = language.partition("-")[0].strip().lower()
    return "ja" if primary == "ja" else "en" if primary == "en" else None


def _accepted(header: str) -> Language:
    wanted = []
    for at, part in enumerate(header.split(",")):
        name, _, quality = part.partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=") or 1)
        except ValueError:
            weight = 0.0
        if (language := _first(name)) is not None and weight > 0:
            wanted.append((-weight, at, language))
    return min(wanted)[2] if wanted else "ja"
