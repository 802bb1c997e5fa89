"""The studio's sessions, languages and response headers.

A browser sends a cookie, never a token: HttpOnly, SameSite=Strict, for `/studio` only. A POST must come from a studio
page. Its origin shows this, and a form token that only pages of the holder of the same access token contain.
"""

import hmac
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import wraps
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from aiohttp import hdrs, web

from infra.redis.sessions import SESSION_S, form_token_before
from infra.tenants import Caller, Role
from processors.pictures.words import Language
from processors.studio.pages import render
from processors.studio.words import WORDS
from streams.edge.http.bodies import read_body
from streams.edge.http.errors import SERVER_NAME, HttpError, needing
from streams.edge.services import Services
from streams.edge.studio.files import NAMES

log = logging.getLogger(__name__)

COOKIE, LANGUAGE_COOKIE = "lpstream_studio", "lpstream_language"
PATH = "/studio"
YEAR_S = 31_536_000
MOST_FIELDS = 64
FORM, FORM_HEADER = "application/x-www-form-urlencoded", "X-Form-Token"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
    # with `no-referrer`, browsers would remove the origin from the studio's own forms
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# the words for an error, by its status; with 401 and 403 the studio's own words come as the message
WORD_OF = {404: "not_found", 408: "error_late", 409: "error_changed", 413: "error_large", 429: "error_many",
           500: "error_inside", 503: "stores_away"}  # fmt: skip
WORD_OF_UPLOAD = {409: "upload_full", 413: "upload_large", 422: "upload_unfit", 429: "upload_busy"}
ASKS: tuple[Role, ...] = ("application", "operator")
LOOKS: tuple[Role, ...] = ("analyst", "operator")


@dataclass(frozen=True, slots=True)
class Visitor:
    """The caller who is logged in, the session's name, and the valid form tokens, the newest first."""

    caller: Caller
    session: str
    form_tokens: tuple[str, ...]

    @property
    def tenant(self) -> str:
        """The tenant's id."""
        return self.caller.tenant.id

    @property
    def form_token(self) -> str:
        """The token in the visitor's forms."""
        return self.form_tokens[0]

    @property
    def may_ask(self) -> bool:
        """Return whether the visitor may request pages."""
        return self.caller.role in ASKS

    @property
    def may_look(self) -> bool:
        """Return whether the visitor may see heatmaps."""
        return self.caller.role in LOOKS


@dataclass(frozen=True, slots=True)
class Visit:
    """A request to the studio."""

    request: web.BaseRequest
    services: Services
    language: Language
    visitor: Visitor | None
    form: dict[str, str]

    @property
    def known(self) -> Visitor:
        """The visitor. HttpError 401 if nobody is logged in."""
        if self.visitor is None:
            raise HttpError(401, self.say("session_over"))
        return self.visitor

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which pages show times."""
        return ZoneInfo(self.services.settings.timezone)

    def local(self, at: datetime) -> str:
        """Return a time as pages show it."""
        return f"{at.astimezone(self.zone):%Y-%m-%d %H:%M}"

    def say(self, word: str, **values: object) -> str:
        """Return a text in the visitor's language."""
        return WORDS[self.language][word].format(**values)

    def page(self, name: str, *, status: int = 200, here: str = "", **values: Any) -> web.Response:
        """Return a page of the studio."""
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
        """Return the address of this page in that language, after a POST that of the start page."""
        if self.request.method != "GET":
            return f"{PATH}?lang={language}"
        return str(self.request.rel_url.update_query(lang=language))


class Redirect(Exception):  # noqa: N818 - not an error
    """A redirect to another address of the studio."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


View = Callable[..., Awaitable[web.StreamResponse]]


def studio(view: View, *roles: Role, open_to_all: bool = False, takes_file: bool = False) -> View:
    """Return the handler of `view(visit, **values)`. Errors become pages; all responses get the headers.

    With `takes_file` the body is a file, which the view reads, the form's token is in the header FORM_HEADER, and
    errors become JSON.
    """

    @wraps(view)
    async def handle(
        request: web.BaseRequest, services: Services, *, caller: Caller | None, **values: str
    ) -> web.StreamResponse:
        visit = Visit(request, services, language_of(request), None, {})
        try:
            visit = await _admitted(visit, roles, open_to_all=open_to_all, takes_file=takes_file)
            answer = await view(visit, **values)
        except Redirect as redirect:
            answer = web.Response(status=303, headers={"Location": redirect.address})
        except HttpError as error:
            answer = _error(visit, error, as_json=takes_file)
        except Exception:
            log.exception("%s %s failed", request.method, view.__name__)
            answer = _error(visit, HttpError(500, "Internal Server Error"), as_json=takes_file)
        return _with_headers(visit, answer)

    return handle


async def _admitted(visit: Visit, roles: tuple[Role, ...], *, open_to_all: bool, takes_file: bool) -> Visit:
    """Return the visit with its visitor and form. Raise HttpError or Redirect if it is not allowed."""
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
    token = {"form": visit.request.headers.get(FORM_HEADER, "")}
    admitted = replace(visit, visitor=visitor, form=token if takes_file else await _posted(visit) if posts else {})
    if posts and not open_to_all:
        check_form(admitted)
    return admitted


async def visitor_of(visit: Visit) -> Visitor | None:
    """Return the visitor of the cookie's session, if its token is still in the tenants' file."""
    session = visit.request.cookies.get(COOKIE)
    if not session or len(session) > 100:
        return None
    with needing("Redis"):
        digest = await visit.services.sessions.token_digest(session, visit.services.tenants.digests)
    caller = None if digest is None else visit.services.tenants.holder(digest)
    if digest is None or caller is None:
        return None
    return Visitor(caller, session, visit.services.sessions.form_tokens(digest))


def _check_origin(visit: Visit) -> None:
    """Raise HttpError 403 if the browser says that the POST comes from another site."""
    headers = visit.request.headers
    site, origin = headers.get("Sec-Fetch-Site"), headers.get(hdrs.ORIGIN)
    ours = {visit.request.host, urlsplit(visit.services.settings.api_base_url).netloc}
    host = origin and origin.partition("://")[2]  # an origin is a scheme and a host, or `null`
    if site not in (None, "same-origin", "none") or (origin is not None and host not in ours):
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
    """Raise HttpError 403 if the form is of another holder, or from before yesterday."""
    given = visit.form.get("form", "").encode(errors="surrogateescape")  # a header may hold any bytes
    valid = (*visit.known.form_tokens, form_token_before(visit.known.session))
    if not any(hmac.compare_digest(given, each.encode()) for each in valid):
        raise HttpError(403, visit.say("form_old"))


# -- answers -----------------------------------------------------------------------------------------------


def _error(visit: Visit, error: HttpError, *, as_json: bool) -> web.Response:
    """Return an error in the visitor's language. The API's English messages are not shown."""
    words = WORD_OF | WORD_OF_UPLOAD if as_json else WORD_OF
    word = words.get(error.status, "error_form")
    own = error.status in (401, 403)
    message = error.message if own else visit.say(word, seconds=error.retry_after_s)
    if as_json:
        answer = web.json_response({"error_code": error.code, "message": message}, status=error.status)
    else:
        answer = visit.page("error", status=error.status, message=message, status_code=error.status)
    answer.headers.update(error.headers)
    return answer


def _with_headers(visit: Visit, answer: web.StreamResponse) -> web.StreamResponse:
    """Add the studio's headers. A stream is sent already, with the headers of its handler."""
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
    """Set the session cookie."""
    answer.set_cookie(
        COOKIE, session, max_age=SESSION_S, path=PATH, httponly=True, samesite="Strict", secure=_https(visit)
    )


def drop_session(visit: Visit, answer: web.Response) -> None:
    """Delete the session cookie."""
    answer.del_cookie(COOKIE, path=PATH, httponly=True, samesite="Strict", secure=_https(visit))


def _https(visit: Visit) -> bool:
    return urlsplit(visit.services.settings.api_base_url).scheme == "https"


# -- languages ---------------------------------------------------------------------------------------------


def language_of(request: web.BaseRequest) -> Language:
    """Return the chosen language, else the browser's preferred supported one, else Japanese."""
    for chosen in (request.query.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if chosen in WORDS:
            return chosen
    return _accepted(request.headers.get("Accept-Language", "")[:500])


def _first(language: str) -> Language | None:
    primary = language.partition("-")[0].strip().lower()
    return "ja" if primary == "ja" else "en" if primary == "en" else None


def _accepted(header: str) -> Language:
    ranked = []
    for at, part in enumerate(header.split(",")):
        name, _, quality = part.partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=") or 1)
        except ValueError:
            weight = 0.0
        if (language := _first(name)) is not None and weight > 0:
            ranked.append((-weight, at, language))
    return min(ranked)[2] if ranked else "ja"
