"""The choice of an arm for a visitor: the arm that the cookie names, else one drawn by the weights."""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import accumulate

COOKIE = "lpa"
KEPT_S = 30 * 86_400
_COOKIE = re.compile(rf"(?:^|;)\s*{COOKIE}=\"?([A-Za-z0-9._-]{{1,128}})\"?\s*(?=;|$)")
# Crawlers, link previews, monitors and auditors. No pattern matches the name of a browser, or of an app with a browser.
# Crawlers of companies that also make such apps (Baidu, Pinterest, Sogou, Yandex) are known by `bot` and `spider`.
# `(?<!cu)` is for CUBOT, a brand of phones. Hatena's crawlers begin with its name, browsers in its apps with Mozilla.
_ROBOT = re.compile(
    r"(?<!cu)bots?(?![a-z])|crawl|spider|slurp|archiver|facebookexternalhit|facebookcatalog|line-poker|"
    r"bingpreview|google-inspectiontool|googleother|google-extended|google-read-aloud|google favicon|"
    r"mediapartners-google|feedfetcher|apis-google|storebot-google|chrome-lighthouse|pagespeed|ptst/|yahoo! ?slurp|"
    r"y!j-|yeti/|embedly|whatsapp/|skypeuripreview|slack-imgproxy|vkshare|w3c_validator|"
    r"uptime|pingdom|statuscake|site24x7|^hatena|ahrefs|semrush|dataprovider",
    re.IGNORECASE,
)


@lru_cache(1_024)  # the search takes most of the time of a choice
def is_robot(user_agent: str) -> bool:
    """Return whether the user agent names itself a crawler, a preview or a monitor."""
    return _ROBOT.search(user_agent) is not None


def named_arm(cookies: str, arms: Collection[str]) -> str | None:
    """Return the first of the arms that a Cookie header names, or None. A visitor can send any name."""
    if COOKIE not in cookies:
        return None
    return next((match[1] for match in _COOKIE.finditer(cookies) if match[1] in arms), None)


def bounds_of(weights: Sequence[float]) -> tuple[float, ...]:
    """Return the upper bounds of the arms' shares of 0 to 1, for `draw`."""
    *rest, _ = accumulate(weights)
    return (*rest, 1.0)


def draw(bounds: Sequence[float], number: float) -> int:
    """Return the arm whose share holds the number (0 ≤ number < 1)."""
    return next(arm for arm, bound in enumerate(bounds) if number < bound)
