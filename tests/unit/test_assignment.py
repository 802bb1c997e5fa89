"""The choice of an arm for a visitor."""

import random
from collections import Counter

import pytest

from processors.experiments.assignment import bounds_of, draw, is_robot, named_arm

BROWSERS = [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5"
    " Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; CUBOT P80) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
    " Safari Line/14.9.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0) AppleWebKit/605.1.15 Mobile/15E148 [FBAN/FBIOS;FBAV/450.0]",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 [Pinterest/iOS]",
    "Mozilla/5.0 (Linux; Android 10; MI 9) Chrome/76.0 Mobile Safari/537.36 baiduboxapp/12.9.0.11 (Baidu; P1 10)",
    "Mozilla/5.0 (Linux; Android 9) Chrome/68.0 Mobile Safari/537.36 SogouMSE,SogouMobileBrowser/5.22.8",
    "Mozilla/5.0 (Linux; Android 8.0) Chrome/70.0 Mobile Safari/537.36 YandexSearch/7.90",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 HatenaBookmark/4.5",
    "Python/3.11 aiohttp/3.13.2",
    "",
]
ROBOTS = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/W.X.Y.Z"
    " Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "facebookexternalhit/1.1;line-poker/1.0",
    "Twitterbot/1.0",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.1; +https://openai.com/gptbot)",
    "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
    "Pinterest/0.2 (+https://www.pinterest.com/bot.html)",
    "Sogou web spider/4.0 (+http://www.sogou.com/docs/help/webmasters.htm#07)",
    "Mozilla/5.0 (compatible; YandexImages/3.0; +http://yandex.com/bots)",
    "Hatena::Russia::Crawler/0.01",
    "Hatena Antenna/0.5 (http://a.hatena.ne.jp/help)",
    "HatenaBookmark/4.0 (Hatena::Bookmark; Analyzer)",
    "WhatsApp/2.23.20.0",
    "Mozilla/5.0 (compatible; Applebot/0.1; +http://www.apple.com/go/applebot)",
    "ia_archiver (+http://www.alexa.com/site/help/webmasters; crawler@alexa.com)",
]


@pytest.mark.parametrize("agent", BROWSERS)
def test_a_browser_is_no_robot(agent: str) -> None:
    assert not is_robot(agent)


@pytest.mark.parametrize("agent", ROBOTS)
def test_a_robot_is_known_by_its_user_agent(agent: str) -> None:
    assert is_robot(agent)


@pytest.mark.parametrize(
    ("header", "arm"),
    [
        ("", None),
        ("lpa=demo-b", "demo-b"),
        ("a=1; lpa=demo-b; c=2", "demo-b"),
        ("a=1;lpa=demo-b", "demo-b"),
        ('lpa="demo-b"', "demo-b"),
        ("xlpa=demo-b", None),
        ("a=lpa=demo-b", None),
        ("lpa=", None),
        ("lpa=demo b", None),
        ("lpa=<script>", None),
        ("lpa=" + "b" * 129, None),
        ("lpa=demo%2Db", None),
        ("lpa=demo-z", None),
        ("lpa=demo-z; lpa=demo-b; lpa=demo-c", "demo-b"),
        ("lpa=" + "; lpa=" * 1_000 + "demo-b", "demo-b"),
        ("lpa=demo-b" + " " * 8_000 + "x", None),
    ],
)
def test_a_cookie_header_names_an_arm_or_none(header: str, arm: str | None) -> None:
    assert named_arm(header, ("demo-a", "demo-b", "demo-c")) == arm


def test_arms_are_drawn_by_their_weights() -> None:
    bounds, source = bounds_of([0.2, 0.5, 0.3]), random.Random(7)
    counts = Counter(draw(bounds, source.random()) for _ in range(20_000))
    assert [round(counts[arm] / 20_000, 1) for arm in range(3)] == [0.2, 0.5, 0.3]


def test_every_number_below_one_draws_an_arm() -> None:
    bounds = bounds_of([0.1] * 6 + [0.3999999])
    assert draw(bounds, 0.9999999999999999) == 6
    assert draw(bounds_of([0.0, 1.0]), 0.0) == 1
