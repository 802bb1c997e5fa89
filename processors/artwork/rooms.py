"""Houses, rooms and landscapes."""

import math
import random

from processors.artwork.kit import circle, group, leaf, linear, oval, path, picture, radial, rect, soft, twig

HERO, DETAIL = (1600, 1000), (1200, 900)


def _tree(x: float, foot: float, size: float, colours: tuple[str, str, str]) -> str:
    dice = random.Random(int(x))
    crown = [
        circle(dice.gauss(0, size * 0.22), -size * 0.95 + dice.gauss(0, size * 0.2), size * dice.uniform(0.18, 0.32), colours[at % 3], opacity=0.92)
        for at in range(16)
    ]  # fmt: skip
    return group(path(f"M0 0V{-size * 0.8:.0f}M0 {-size * 0.4:.0f}l{size * 0.16:.0f} {-size * 0.24:.0f}", stroke="#5b4636", stroke_width=size * 0.05), *crown, move=(x, foot))  # fmt: skip


def _window(x: float, y: float, w: float, h: float, panes: int = 1) -> str:
    bars = [rect(w * at / panes - 3, 0, 6, h, "#22303c") for at in range(1, panes)]
    return group(rect(-7, -7, w + 14, h + 14, "#22303c"), rect(0, 0, w, h, "url(#warm)"), rect(0, h * 0.55, w, h * 0.45, "#c9813a", opacity=0.25), *bars, move=(x, y))  # fmt: skip


def realestate_hero() -> str:
    """A house at dusk with light in its windows."""
    greens = ("#2f5650", "#3f6b5f", "#254841")
    stars = random.Random(3)
    body = [
        linear("sky", "#1d3f63", "#4d7ea3", "#c2c6c2", "#f4c99a"), linear("warm", "#ffe7b0", "#ffc56b"), linear("white", "#f7f8f6", "#d8dee0", angle=30),
        linear("grey", "#5d6b76", "#46535e"), linear("lawn", "#47705a", "#2c4d43"), linear("path", "#e9dfcd", "#c5b79f"),
        rect(0, 0, 1600, 1000, "url(#sky)"),
        *[circle(stars.uniform(0, 1600), stars.uniform(0, 260), stars.uniform(0.8, 2.2), "#ffffff", opacity=0.7) for _ in range(60)],
        path("M0 700C200 590 380 640 560 610S900 560 1100 620S1450 590 1600 640V1000H0Z", "#5c7f8d", opacity=0.6),
        path("M0 740C260 660 500 710 800 690S1300 670 1600 710V1000H0Z", "#3d6069", opacity=0.7),
        rect(0, 790, 1600, 210, "url(#lawn)"),
        _tree(170, 810, 330, greens), _tree(1480, 815, 400, greens), _tree(1330, 800, 250, greens), _tree(330, 802, 220, greens),
        soft(860, 812, 560, 26, "#10202a", 0.5, 14),
        rect(470, 500, 420, 306, "url(#white)"), path("M440 506L470 470H900V506Z", "#2b3944"),
        rect(760, 380, 470, 426, "url(#grey)"), path("M720 392L1010 270L1270 392V372L1010 240L720 372Z", "#22303c"), path("M760 384L1010 276L1230 384Z", "#4f5d68"),
        *[rect(760, y, 470, 2, "#3a4650", opacity=0.6) for y in range(410, 800, 24)],
        _window(800, 440, 150, 110, 2), _window(1020, 440, 170, 110, 2), _window(800, 610, 260, 190, 3), _window(510, 560, 220, 150, 3),
        rect(1104, 610, 92, 196, "#7b4f2f"), rect(1120, 630, 22, 150, "#ffd88d"), circle(1184, 712, 5, "#f1d9a8"),
        rect(1084, 590, 136, 14, "#22303c"), path("M1110 806H1196L1330 1000H1020Z", "url(#path)"),
        path("M480 806C560 880 520 960 430 1000H760C720 930 800 870 890 806Z", "#3a6453"),
        oval(930, 826, 200, 24, "#ffd88d", opacity=0.4, filter="url(#blur14)"), oval(620, 826, 160, 18, "#ffd88d", opacity=0.35, filter="url(#blur14)"),
        *[group(*[leaf(0, 0, 62, turn, greens[at % 3]) for at, turn in enumerate((-160, -120, -90, -60, -20))], move=(x, 824)) for x in (450, 540, 730, 1290, 1240, 980)],
        circle(360, 190, 46, "#fff3d6"), circle(360, 190, 120, "#fff3d6", opacity=0.25, filter="url(#blur30)"),
    ]  # fmt: skip
    return picture(*HERO, body, 0.14)


def realestate_detail() -> str:
    """A living room with evening light through a large window."""
    body = [
        linear("wall", "#f4f1ea", "#e4dfd4"), linear("sky", "#9cc3da", "#f6ddb8"), linear("floor", "#d0a878", "#b78a58"), linear("sofa", "#3f6484", "#2b4a66"), linear("beam", "#fff1cf 0.55", "#fff1cf 0"),
        rect(0, 0, 1200, 900, "url(#wall)"), rect(0, 660, 1200, 240, "url(#floor)"), *[path(f"M{600 + x} 660L{600 + x * 2.4:.0f} 900", stroke="#9c7344", stroke_width=2, opacity=0.4) for x in range(-600, 601, 100)],
        rect(560, 110, 540, 470, "#3b4650"), rect(574, 124, 512, 442, "url(#sky)"),
        path("M574 470q120 -90 230 -40t282 -30V566H574Z", "#7d9a86"), path("M574 510q160 -60 300 -10t212 -20V566H574Z", "#5d7f6b"), rect(824, 124, 12, 442, "#3b4650"), rect(574, 330, 512, 8, "#3b4650"),
        path("M530 90H600V600Q560 590 530 600Z", "#fbf8f1", filter="url(#shadow4)"), path("M1060 90H1130V600Q1100 590 1060 600Z", "#fbf8f1", filter="url(#shadow4)"),
        path("M574 566L1086 566L700 900H40Z", "url(#beam)", filter="url(#blur6)"),
        oval(560, 812, 440, 62, "#efe7d8"), oval(560, 812, 400, 50, "none", stroke="#c9b998", stroke_width=4),
        group(rect(0, -190, 480, 150, "url(#sofa)", rx=26, filter="url(#shadow10)"), rect(-40, -140, 70, 150, "url(#sofa)", rx=26), rect(450, -140, 70, 150, "url(#sofa)", rx=26),
              rect(20, -90, 215, 80, "#557b9b", rx=16), rect(245, -90, 215, 80, "#557b9b", rx=16), rect(60, -170, 110, 100, "#e8b26a", rx=14), rect(330, -165, 100, 96, "#f2ece0", rx=14),
              rect(0, 4, 18, 34, "#6a4a2c"), rect(460, 4, 18, 34, "#6a4a2c"), move=(130, 740)),
        path("M380 0V130", stroke="#3b4650", stroke_width=5), path("M310 210Q320 130 380 130T450 210Z", "#e8a64f"), circle(380, 214, 120, "#ffe2a3", opacity=0.4, filter="url(#blur30)"),
        group(rect(-50, -90, 100, 96, "#f4efe4", rx=12, filter="url(#shadow10)"), *[leaf(0, -88, 210, turn, ("#4f7a5a", "#6a9468", "#3d6349")[at % 3], vein="#d5e6d0") for at, turn in enumerate((-165, -140, -115, -92, -66, -40, -18))], move=(1000, 780)),
        rect(150, 190, 120, 150, "#ffffff", filter="url(#shadow4)"), rect(166, 206, 88, 118, "#cfe0e6"), circle(210, 250, 24, "#e8a64f"),
    ]  # fmt: skip
    return picture(*DETAIL, body, 0.14)


def clinic_hero() -> str:
    """A bright waiting room: desk, chairs, plants, a window."""
    chair = (
        rect(0, -110, 120, 92, "#46b0a8", rx=18, filter="url(#shadow4)"), rect(-6, -30, 132, 44, "#5cc2b9", rx=14),
        path("M12 14V80M108 14V80", stroke="#c08e58", stroke_width=9),
    )  # fmt: skip
    plant = [leaf(0, -100, 210, turn, ("#4a8f6a", "#6bb088", "#377355")[at % 3], vein="#d8efe0") for at, turn in enumerate((-168, -145, -120, -95, -70, -44, -18))]  # fmt: skip
    body = [
        linear("wall", "#f3fbfa", "#dff1ef", angle=70), linear("floor", "#efe3cf", "#e0cfb3"), linear("sky", "#bfe6f2", "#effaf5"), linear("desk", "#ffffff", "#e2eeec"), linear("wood", "#dcb27e", "#c2935c"), linear("beam", "#ffffff 0.85", "#ffffff 0"),
        rect(0, 0, 1600, 1000, "url(#wall)"), rect(0, 760, 1600, 240, "url(#floor)"), rect(0, 752, 1600, 10, "#ffffff"),
        rect(90, 130, 560, 450, "#ffffff", rx=10, filter="url(#shadow10)"), rect(108, 148, 524, 414, "url(#sky)"),
        path("M108 480q130 -90 260 -30t264 -40V562H108Z", "#9fd0ae"), path("M108 520q160 -60 290 -10t234 -14V562H108Z", "#73b78f"), circle(520, 230, 40, "#fff4cf"), rect(362, 148, 14, 414, "#ffffff"),
        path("M108 562H632L860 1000H330Z", "url(#beam)", filter="url(#blur14)", opacity=0.6),
        rect(860, 120, 600, 360, "#d3ebe8", rx=16), *[rect(860 + at * 60, 120, 3, 360, "#bfe0dc") for at in range(1, 10)],
        group(circle(0, 0, 78, "#ffffff", filter="url(#shadow10)"), path("M0 -42V42M-42 0H42", stroke="#14918a", stroke_width=24), move=(1160, 250)),
        rect(1040, 372, 240, 16, "#ffffff", rx=8), rect(1090, 404, 140, 12, "#ffffff", rx=6),
        rect(850, 560, 640, 250, "url(#desk)", rx=16, filter="url(#shadow22)"), rect(830, 534, 680, 36, "url(#wood)", rx=10), rect(890, 610, 560, 6, "#14918a", opacity=0.5),
        group(rect(-64, -94, 128, 82, "#3f4f52", rx=8), rect(-56, -86, 112, 66, "#9bd5d0"), rect(-8, -12, 16, 14, "#3f4f52"), rect(-40, 0, 80, 6, "#3f4f52"), move=(1010, 532)),
        group(rect(-22, -56, 44, 56, "#ffffff", rx=8), *[leaf(0, -54, 74, turn, "#6bb088") for turn in (-150, -118, -88, -58, -28)], move=(1380, 534)),
        *[group(*chair, move=(x, 790)) for x in (230, 380, 530)],
        group(rect(-56, -110, 112, 116, "#ffffff", rx=14, filter="url(#shadow10)"), *plant, move=(110, 884)),
        group(rect(-46, -100, 92, 100, "#e7c9a0", rx=12, filter="url(#shadow10)"), *plant, move=(1530, 880), scale=0.9),
        group(rect(-130, -14, 260, 22, "url(#wood)", rx=11, filter="url(#shadow10)"), path("M-100 8V80M100 8V80", stroke="#b98a54", stroke_width=9), rect(-70, -30, 84, 16, "#5cc2b9", rx=3), rect(-60, -44, 84, 14, "#f2b766", rx=3), move=(470, 900)),
        path("M1160 0V60", stroke="#b7c9c7", stroke_width=4), oval(1160, 76, 86, 20, "#ffffff", filter="url(#shadow4)"), path("M700 0V90", stroke="#b7c9c7", stroke_width=4), oval(700, 104, 70, 18, "#ffffff", filter="url(#shadow4)"),
    ]  # fmt: skip
    return picture(*HERO, body, 0.08)


def clinic_detail() -> str:
    """A stethoscope, a chart and a cup on a pale desk, from above."""
    body = [
        linear("desk", "#e3f4f2", "#cbe7e4", angle=50), radial("metal", "#ffffff", "#c4d2d4", "#93a6a9"),
        rect(0, 0, 1200, 900, "url(#desk)"),
        group(rect(-250, -320, 500, 640, "#c2935c", rx=18, filter="url(#shadow22)"), rect(-222, -276, 444, 576, "#fffefb"), rect(-80, -346, 160, 60, "#8fa3a6", rx=14, filter="url(#shadow4)"),
              rect(-180, -220, 150, 18, "#14918a", rx=9), *[rect(-180, y, w, 10, "#cfdcdb", rx=5) for y, w in ((-170, 340), (-140, 300), (-110, 330))],
              path("M-180 0H-90L-66 -60L-30 70L6 -30L30 0H180", stroke="#14918a", stroke_width=8), *[group(rect(0, 0, 30, 30, "none", rx=6, stroke="#8fb5b2", stroke_width=4), rect(50, 9, w, 12, "#dfe8e7", rx=6), move=(-180, y)) for y, w in ((110, 240), (160, 200), (210, 260))],
              move=(420, 460), turn=-8),
        path("M760 150C700 420 880 470 900 600S1060 760 1080 600S960 420 1010 170", stroke="#1e5f63", stroke_width=24, filter="url(#shadow10)"),
        path("M760 160C752 110 790 84 830 96M1010 180C1022 120 980 84 934 100", stroke="#a7b9bb", stroke_width=15), circle(832, 96, 15, "#1e3d40"), circle(932, 100, 15, "#1e3d40"),
        group(circle(0, 0, 78, "url(#metal)", filter="url(#shadow22)"), circle(0, 0, 52, "#f4f9f9"), circle(0, 0, 52, "none", stroke="#b3c4c6", stroke_width=4), move=(1070, 640)),
        group(circle(0, 0, 110, "#ffffff", filter="url(#shadow22)"), circle(0, 0, 88, "#e9f2ee"), circle(0, 0, 80, "#c0c26c"), path("M100 -40c90 -20 90 90 4 80", stroke="#ffffff", stroke_width=22), move=(690, 740)),
        twig(1190, 880, 330, -128, ("#6bb088", "#8cc5a2", "#4a8f6a"), 84, "#4d6f5c", 5),
    ]  # fmt: skip
    return picture(*DETAIL, body, 0.1)


def _scales(x: float, y: float, size: float, colour: str) -> str:
    pan = path("M-70 0H70Q60 46 0 46T-70 0Z", colour)
    arm = [
        group(path("M0 -150L-66 0M0 -150L66 0", stroke=colour, stroke_width=4), pan, move=(side * 170, -160))
        for side in (-1, 1)
    ]
    return group(rect(-9, -330, 18, 330, colour), rect(-90, -16, 180, 16, colour, rx=6), rect(-60, -32, 120, 18, colour, rx=6),
                 path("M-176 -304Q0 -350 176 -304", stroke=colour, stroke_width=14), circle(0, -340, 20, colour), *arm, move=(x, y), scale=size)  # fmt: skip


def counsel_hero() -> str:
    """An office in morning light: tall windows over a city, books, a desk with papers."""
    dice = random.Random(21)
    city = [
        rect(x, 560 - h, 70, h + 60, ("#aab9b4", "#98aaa5", "#bccac5")[at % 3])
        for at, x in enumerate(range(100, 1040, 62)) for h in [dice.uniform(90, 330)]
    ]  # fmt: skip
    books = [
        rect(1160 + at % 9 * 40, 150 + at // 9 * 190 + dip, 34, 150 - dip, ("#23463a", "#7b3b2e", "#b08d57", "#3d4a55", "#5a6b4f")[(at * 7) % 5], rx=3)
        for at in range(27) for dip in [dice.uniform(0, 36)]
    ]  # fmt: skip
    body = [
        linear("wall", "#efe9dc", "#ddd3c0", angle=60), linear("sky", "#f4e3c4", "#dfe6df", "#c3d3d2", angle=-90), linear("desk", "#6b4a30", "#4a311e"), linear("beam", "#fff6df 0.7", "#fff6df 0"), linear("paper", "#ffffff", "#f1ece0"),
        rect(0, 0, 1600, 1000, "url(#wall)"), rect(90, 60, 980, 570, "url(#sky)"), circle(330, 330, 70, "#fff6dd", opacity=0.9), circle(330, 330, 180, "#fff0c9", opacity=0.5, filter="url(#blur60)"), *city,
        *[rect(x, 50, 18, 590, "#4b3a2a") for x in (80, 320, 562, 804, 1060)], rect(80, 46, 998, 18, "#4b3a2a"), rect(80, 622, 998, 22, "#4b3a2a"), rect(80, 260, 998, 9, "#4b3a2a"),
        rect(1130, 110, 400, 640, "#5a3f29", filter="url(#shadow10)"), rect(1146, 126, 368, 600, "#3d2a1b"), *books, *[rect(1146, y, 368, 14, "#6b4a30") for y in (300, 490, 680)],
        path("M98 640H1060L1500 1000H300Z", "url(#beam)", filter="url(#blur14)", opacity=0.5),
        rect(0, 760, 1600, 240, "url(#desk)"), rect(0, 760, 1600, 10, "#8a6544"),
        soft(520, 900, 330, 30, "#1a0f08", 0.5, 14), _scales(860, 800, 0.82, "#a98549"),
        path("M230 930L330 800H720L700 930Z", "url(#paper)", filter="url(#shadow10)"), path("M330 836H650M322 862H640M312 888H560", stroke="#b9b2a2", stroke_width=5),
        group(rect(0, -9, 250, 18, "#1f2a26", rx=9, filter="url(#shadow4)"), rect(80, -10, 12, 20, "#c8a45c"), path("M250 -7L296 0L250 7Z", "#c8a45c"), move=(560, 905), turn=-22),
        group(*[rect(at * 6, -34 * (at + 1), 240 - at * 16, 32, colour, rx=4, filter="url(#shadow4)") for at, colour in enumerate(("#23463a", "#7b3b2e", "#d9cdb4"))], move=(1120, 850)),
        group(rect(-60, -130, 120, 130, "#f1e8d6", rx=14, filter="url(#shadow10)"), *[leaf(0, -128, 190, turn, ("#466a52", "#62886a", "#35543f")[at % 3], vein="#d5e2d2") for at, turn in enumerate((-162, -138, -112, -90, -66, -40, -18))], move=(110, 880)),
    ]  # fmt: skip
    return picture(*HERO, body, 0.16)


def counsel_detail() -> str:
    """Papers, a pen, a seal and a cup of tea, from above."""
    lines = [path(f"M60 {y}H{w}", stroke="#bcb6a8", stroke_width=5) for y, w in zip(range(150, 560, 40), (420, 440, 390, 440, 300, 440, 410, 440, 360, 430, 240), strict=True)]  # fmt: skip
    body = [
        linear("desk", "#70513a", "#553a26", angle=50), radial("tea", "#c9a45a", "#9a7431"), linear("sheet", "#fffefa", "#f3eee2"),
        rect(0, 0, 1200, 900, "url(#desk)"), *[path(f"M-20 {y}q600 {14 - y % 29} 1240 0", stroke="#3e2918", stroke_width=2, opacity=0.35) for y in range(20, 900, 34)],
        group(rect(-270, -350, 540, 700, "#e9e2d2", filter="url(#shadow22)"), move=(590, 450), turn=9),
        group(rect(-260, -350, 520, 700, "url(#sheet)", filter="url(#shadow22)"), group(rect(60, 60, 220, 26, "#2b3a34", rx=3), *lines, move=(-260, -350)),
              circle(150, 250, 44, "none", stroke="#b4331f", stroke_width=7), path("M132 232h36M132 250h36M150 226v50", stroke="#b4331f", stroke_width=6), move=(540, 450), turn=-4),
        group(rect(0, -13, 420, 26, "#1f2a26", rx=13, filter="url(#shadow10)"), rect(150, -14, 16, 28, "#c8a45c"), path("M420 -9L486 0L420 9Z", "#c8a45c"), move=(760, 800), turn=-66),
        group(circle(0, 0, 120, "#f4efe4", filter="url(#shadow22)"), circle(0, 0, 96, "#d9d1c0"), circle(0, 0, 88, "url(#tea)"), move=(170, 200)),
        group(rect(-26, -90, 52, 180, "#7b3b2e", rx=18, filter="url(#shadow10)"), rect(-26, 60, 52, 30, "#c8a45c"), move=(1040, 190), turn=28),
    ]  # fmt: skip
    return picture(*DETAIL, body, 0.16)


def generic_hero() -> str:
    """Hills in morning light, with a path that leads on."""
    hills = (
        ("#a9cdb4", 560, 70, 0),
        ("#86b697", 620, 60, 2.1),
        ("#5f9a78", 700, 64, 4.0),
        ("#3f7b5b", 790, 50, 5.4),
        ("#2a6148", 880, 36, 0.9),
    )
    layers = []
    for colour, level, swing, phase in hills:
        top = [
            f"{x} {level + swing * math.sin(x / 260 + phase) + swing * 0.4 * math.sin(x / 97 + phase):.0f}"
            for x in range(-40, 1681, 40)
        ]
        layers.append(path(f"M{'L'.join(top)}L1680 1000H-40Z", colour))
    birds = [path(f"M{x} {y}q{s} {-s} {s * 2} 0q{s} {-s} {s * 2} 0", stroke="#ffffff", stroke_width=5) for x, y, s in ((560, 240, 16), (640, 210, 12), (480, 290, 11))]  # fmt: skip
    greens = ("#1f4d39", "#2f6b4f", "#4b8763")
    body = [
        linear("sky", "#bfe0e6", "#e6f2e4", "#fdf1d3"), radial("sun", "#fffdf2", "#ffe9b0 0.9", "#ffe9b0 0"), linear("way", "#fff6df", "#f0dcb0"),
        rect(0, 0, 1600, 1000, "url(#sky)"), circle(1090, 430, 330, "url(#sun)"), circle(1090, 430, 96, "#fff7df"),
        *[oval(x, y, 210, 26, "#ffffff", opacity=0.55, filter="url(#blur14)") for x, y in ((300, 180), (820, 140), (1400, 250), (560, 380))],
        layers[0], oval(800, 600, 900, 26, "#ffffff", opacity=0.45, filter="url(#blur14)"), layers[1], layers[2], oval(500, 730, 700, 20, "#ffffff", opacity=0.3, filter="url(#blur14)"), layers[3],
        path("M1060 742C960 770 1010 800 900 830S640 880 690 1000H1010C960 900 1090 870 1100 826S1020 776 1078 742Z", "url(#way)"),
        layers[4], path("M800 862C740 890 690 930 690 1000H1010C985 950 990 910 1010 884Z", "url(#way)"), *birds,
        *[_tree(x, y, s, greens) for x, y, s in ((210, 900, 330), (360, 890, 220), (1380, 890, 300), (1500, 910, 380), (1250, 850, 150), (640, 800, 110), (720, 806, 90))],
    ]  # fmt: skip
    return picture(*HERO, body, 0.12)


def generic_detail() -> str:
    """A table by a window: two cups, a notebook, a plant."""
    body = [
        linear("wall", "#eef5ec", "#dcebdc", angle=60), linear("sky", "#cfe9ea", "#fdf3d8"), linear("table", "#dcb680", "#c2965c"), linear("beam", "#fffbe8 0.8", "#fffbe8 0"),
        rect(0, 0, 1200, 900, "url(#wall)"), rect(140, 90, 500, 440, "#ffffff", rx=8, filter="url(#shadow10)"), rect(158, 108, 464, 404, "url(#sky)"), path("M158 430q120 -80 230 -30t234 -40V512H158Z", "#8dbd9b"), rect(384, 108, 12, 404, "#ffffff"),
        path("M158 512H622L980 900H300Z", "url(#beam)", filter="url(#blur14)", opacity=0.7), rect(0, 640, 1200, 260, "url(#table)"), rect(0, 640, 1200, 8, "#ecd0a2"),
        group(path("M-300 60L-230 -60H180L220 60Z", "#fffefa", filter="url(#shadow10)"), path("M-30 -60L-40 60", stroke="#d6cfbe", stroke_width=4), path("M-210 -30H-60M-222 0H-66M-234 28H-90M10 -30H150M12 0H120", stroke="#b9c6bb", stroke_width=5), move=(560, 790)),
        *[group(oval(0, 0, 96, 20, "#ffffff", filter="url(#shadow10)"), path("M-60 -90H60L48 -8Q0 10 -48 -8Z", colour, filter="url(#shadow4)"), oval(0, -90, 60, 14, "#fff8ea"), oval(0, -88, 50, 10, "#8a5b33"), path("M56 -76c50 -6 46 54 -2 52", stroke=colour, stroke_width=12),
                path("M-14 -120q14 -24 0 -46M16 -116q14 -24 0 -46", stroke="#ffffff", stroke_width=6, opacity=0.7), move=(x, y)) for x, y, colour in ((270, 770, "#2a6a4c"), (860, 740, "#e0a44e"))],
        group(rect(-70, -130, 140, 140, "#ffffff", rx=16, filter="url(#shadow10)"), *[leaf(0, -128, 240, turn, ("#3f7b5b", "#5f9a78", "#2a6148")[at % 3], vein="#d6ead9") for at, turn in enumerate((-166, -142, -116, -92, -68, -42, -16))], move=(1040, 690)),
    ]  # fmt: skip
    return picture(*DETAIL, body, 0.12)
