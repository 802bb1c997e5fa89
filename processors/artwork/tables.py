"""Things on a table, seen from above or from the front: food, vanity, desk, parcels."""

import math
import random

from processors.artwork.kit import circle, group, leaf, linear, oval, path, picture, radial, rect, soft, twig

HERO, DETAIL = (1600, 1000), (1200, 900)
GREENS = ("#5f7f52", "#7d9a68", "#49684a")


def _wood(width: int, height: int, planks: int, colours: tuple[str, ...], line: str, seed: int) -> list[str]:
    """A table top of planks, with grain."""
    dice, high = random.Random(seed), height / planks
    parts = []
    for at in range(planks):
        parts.append(rect(0, at * high, width, high + 1, colours[at % len(colours)]))
        for _ in range(9):
            y, x = at * high + dice.uniform(4, high - 4), dice.uniform(-100, width)
            bend = dice.uniform(-7, 7)
            d = f"M{x:.0f} {y:.0f}q{dice.uniform(80, 200):.0f} {bend:.0f} {dice.uniform(260, 620):.0f} 0"
            parts.append(path(d, stroke=line, stroke_width=dice.uniform(0.8, 2.2), opacity=0.28))
        parts.append(rect(0, at * high, width, 2.5, line, opacity=0.55))
    return parts


def _bowl(cx: float, cy: float, r: float, rim: str, inside: str, *content: str) -> str:
    """A bowl from above; what is in it is drawn about (0, 0) with the same radius."""
    shine = path(
        f"M{-r * 0.9:.0f} {-r * 0.12:.0f}A{r * 0.91:.0f} {r * 0.91:.0f} 0 0 1 {-r * 0.2:.0f} {-r * 0.89:.0f}",
        stroke="#ffffff", stroke_width=r * 0.028, opacity=0.55,
    )  # fmt: skip
    return group(
        circle(0, 0, r, rim, filter="url(#shadow22)"), circle(0, 0, r * 0.93, inside), *content, shine, move=(cx, cy)
    )


def _noodles(r: float) -> list[str]:
    dice, parts = random.Random(8), []
    for at in range(46):
        a, b = dice.uniform(0, 6.28), dice.uniform(1.6, 3.4)
        p, q = r * dice.uniform(0.45, 0.8), r * dice.uniform(0.4, 0.8)
        x1, y1, x2, y2 = p * math.cos(a), p * math.sin(a), q * math.cos(a + b), q * math.sin(a + b)
        mx, my = dice.uniform(-r, r) * 0.7, dice.uniform(-r, r) * 0.7
        colour = ("#f3d894", "#ecc873", "#f8e3ab")[at % 3]
        d = f"M{x1:.0f} {y1:.0f}Q{mx:.0f} {my:.0f} {x2:.0f} {y2:.0f}"
        parts += [
            path(d, stroke="#a86a2a", stroke_width=r * 0.05, opacity=0.35),
            path(d, stroke=colour, stroke_width=r * 0.036),
        ]
    return parts


def _egg(x: float, y: float, size: float, turn: float) -> str:
    return group(
        oval(0, 0, size, size * 0.78, "#fffaf0", filter="url(#shadow4)"),
        oval(size * 0.06, 0, size * 0.58, size * 0.5, "#e8932b"),
        oval(size * 0.0, -size * 0.06, size * 0.4, size * 0.32, "#f6b545"),
        move=(x, y), turn=turn,
    )  # fmt: skip


def _slice(x: float, y: float, r: float, turn: float) -> str:
    """A slice of braised pork."""
    swirl = path(
        f"M{-r * 0.5:.0f} {r * 0.1:.0f}C{-r * 0.4:.0f} {-r * 0.6:.0f} {r * 0.6:.0f} {-r * 0.5:.0f} {r * 0.45:.0f} {r * 0.15:.0f}"
        f"C{r * 0.3:.0f} {r * 0.6:.0f} {-r * 0.25:.0f} {r * 0.4:.0f} {-r * 0.1:.0f} 0",
        stroke="#f1d3b4", stroke_width=r * 0.16,
    )  # fmt: skip
    return group(
        oval(0, 0, r, r * 0.86, "#7c3f22", filter="url(#shadow4)"), oval(0, 0, r * 0.88, r * 0.74, "#b9764b"), swirl,
        move=(x, y), turn=turn,
    )  # fmt: skip


def _onions(cx: float, cy: float, reach: float, count: int) -> list[str]:
    dice, parts = random.Random(5), []
    for at in range(count):
        x, y, r = cx + dice.gauss(0, reach), cy + dice.gauss(0, reach * 0.8), dice.uniform(6, 11)
        parts.append(circle(x, y, r, "none", stroke=("#6f9a3e", "#93b85a", "#4f7f36")[at % 3], stroke_width=r * 0.55))
    return parts


def _chopsticks(x: float, y: float, length: float, turn: float, colour: str) -> str:
    sticks = [
        path(f"M0 {at}L{length} {at * 0.45}L{length} {at * 0.45 + 6}L0 {at + 13}Z", colour, filter="url(#shadow4)")
        for at in (0, 30)
    ]
    rest = rect(length * 0.8, -18, 34, 74, "#e9e2d3", rx=15, filter="url(#shadow4)")
    return group(rest, *sticks, move=(x, y), turn=turn)


def restaurant_hero() -> str:
    """A table laid for guests, from above: plates, chopsticks, tea and a green twig, but no dish in particular."""
    glaze = [
        circle(0, 0, r, "none", stroke="#cfd8d6", stroke_width=w, opacity=0.7)
        for r, w in ((262, 3), (254, 1.5), (150, 2))
    ]
    flowers = [
        group(*[oval(math.cos(a) * 15, math.sin(a) * 15, 14, 9, "#fff6ee", turn=math.degrees(a)) for a in (0, 1.26, 2.51, 3.77, 5.03)],
              circle(0, 0, 6, "#e0a33c"), move=(x, y))
        for x, y in ((34, -66), (-60, -14), (88, 18))
    ]  # fmt: skip
    body = [
        radial("white", "#fdfbf5", "#f1ece0", "#e3dccb"), radial("indigo", "#4c6a8a", "#33506f", "#22354a"), radial("tea", "#b9bf6a", "#87923f"),
        radial("soup", "#c58a47", "#9a6226"), radial("light", "#ffdf9e 0.5", "#ffdf9e 0", cx=0.25, cy=0.1, r=0.9),
        *_wood(1600, 1000, 6, ("#5a3b28", "#543624", "#60402c"), "#2d1a0f", 4),
        group(rect(-560, -330, 1120, 660, "#ece0c8", rx=4, filter="url(#shadow10)"),
              *[rect(-560, y, 1120, 3, "#c9b690", opacity=0.6) for y in (-312, -302, 300, 310)], move=(840, 520), turn=-4),
        _bowl(860, 500, 318, "url(#white)", "url(#white)", *glaze,
              circle(0, 0, 196, "url(#indigo)", filter="url(#shadow10)"), circle(0, 0, 176, "none", stroke="#7f9ab5", stroke_width=2, opacity=0.6),
              twig(-118, 96, 240, -38, ("#6d8f5c", "#8cab74", "#557847"), 74, "#5d5138", 5), *flowers),
        _bowl(400, 330, 132, "#8b2d20", "#6b2015", circle(0, 0, 106, "url(#soup)"), *_onions(0, 0, 30, 14)),
        _bowl(350, 660, 118, "url(#white)", "#e9e2d2", circle(0, 0, 70, "none", stroke="#33506f", stroke_width=5, opacity=0.6)),
        _bowl(1390, 270, 116, "#5b6a5c", "#3d483e", circle(0, 0, 94, "url(#tea)")),
        _bowl(1400, 760, 104, "url(#indigo)", "#2a4059", circle(0, 0, 56, "none", stroke="#8ba6c0", stroke_width=4, opacity=0.6)),
        _chopsticks(620, 880, 430, -3, "#7a2b1b"),
        leaf(80, 120, 130, 30, "#4d6b3b", vein="#c8d8a8"), leaf(110, 110, 110, 75, "#64854a", vein="#c8d8a8"),
        rect(0, 0, 1600, 1000, "url(#light)"),
    ]  # fmt: skip
    return picture(*HERO, body, 0.16)


def noodles_hero() -> str:
    """A bowl of ramen and more on a dark wooden table, from above."""
    soup = circle(0, 0, 296, "url(#soup)")
    ramen = _bowl(
        860, 520, 345, "url(#rim)", "#2c2420", soup, *_noodles(270),
        group(rect(-250, -250, 150, 190, "#1f2a22", rx=6, filter="url(#shadow4)"), turn=-14),
        _slice(120, -120, 108, 20), _slice(196, 12, 104, -30), _egg(-96, 112, 84, -25), _egg(52, 158, 80, 15),
        *_onions(-20, -20, 46, 46),
    )  # fmt: skip
    rice = [oval(math.cos(at * 2.4) * at * 1.02, math.sin(at * 2.4) * at * 1.02, 11, 7, "#fffdf6" if at % 2 else "#efe9db",
                 turn=at * 53) for at in range(118)]  # fmt: skip
    pickles = [
        group(oval(0, 0, 34, 30, colour, filter="url(#shadow4)"), oval(0, 0, 22, 18, light, opacity=0.6), move=(x, y))
        for x, y, colour, light in ((-30, -16, "#d9b53c", "#f3dd85"), (22, -26, "#dfbf4e", "#f6e49b"),
                                    (0, 26, "#c3536c", "#e39aa9"))
    ]  # fmt: skip
    tea = _bowl(1420, 250, 108, "#5b6a5c", "#3d483e", circle(0, 0, 88, "url(#tea)"))
    gyoza = [
        group(path("M-62 18C-58 -44 58 -44 62 18C30 30 -30 30 -62 18Z", "#f2ddb0", filter="url(#shadow4)"),
              path("M-46 16C-40 26 40 26 46 16L38 26C20 32 -20 32 -38 26Z", "#b9742f"),
              *[path(f"M{x} -20q4 10 0 22", stroke="#d8b87d", stroke_width=3) for x in (-28, -10, 8, 26)],
              move=(270 + at * 26, 690 + at * 52), turn=-24)
        for at in range(4)
    ]  # fmt: skip
    body = [
        linear("rim", "#3f5a73", "#22354a", angle=60),
        radial("soup", "#c98a3c", "#a8621f", "#7f4515"),
        radial("tea", "#b9bf6a", "#87923f"),
        radial("light", "#ffdf9e 0.5", "#ffdf9e 0", cx=0.25, cy=0.1, r=0.9),
        *_wood(1600, 1000, 6, ("#5a3b28", "#543624", "#60402c"), "#2d1a0f", 4),
        group(rect(-330, -300, 660, 640, "#ece0c8", rx=4, filter="url(#shadow10)"),
              *[rect(-330, -300 + y, 660, 3, "#c9b690", opacity=0.6) for y in (18, 28, 612, 622)],
              move=(330, 800), turn=-12),
        oval(320, 770, 190, 150, "#f4efe3", turn=50, filter="url(#shadow10)"),
        oval(320, 770, 160, 122, "#e9e1cf", turn=50),
        *gyoza,
        _bowl(340, 300, 196, "#8b2d20", "#58190f", circle(0, 0, 160, "#f7f1e4"), *rice),
        _bowl(1300, 800, 120, "#f1ece1", "#dfd7c6", *pickles),
        tea, ramen,
        _chopsticks(1225, 395, 250, 62, "#7a2b1b"),
        leaf(80, 120, 130, 30, "#4d6b3b", vein="#c8d8a8"), leaf(110, 110, 110, 75, "#64854a", vein="#c8d8a8"),
        rect(0, 0, 1600, 1000, "url(#light)"),
    ]  # fmt: skip
    return picture(*HERO, body, 0.16)


def restaurant_detail() -> str:
    """A shop front at dusk: curtain, lantern, warm light."""
    curtain = [
        group(path(f"M0 0H190V{300 + at % 2 * 8}Q95 {318 + at % 2 * 10} 0 {300 + at % 2 * 8}Z", "url(#cloth)"),
              path("M186 10V300", stroke="#5f1a0d", stroke_width=3, opacity=0.5), move=(212 + at * 194, 232))
        for at in range(4)
    ]  # fmt: skip
    lattice = [rect(x, 230, 10, 560, "#3a2214") for x in range(200, 1001, 66)]
    body = [
        linear("wall", "#2a2f40", "#191b26"), linear("glow", "#ffd58a", "#f5a94a"), linear("cloth", "#b23a22", "#8f2a17"),
        radial("lamp", "#ffe9b8", "#f2a23f", "#c9571f"), linear("road", "#3b3430", "#211d1d"),
        rect(0, 0, 1200, 900, "url(#wall)"), rect(0, 790, 1200, 110, "url(#road)"),
        rect(170, 190, 860, 610, "#24160d"), rect(200, 220, 800, 580, "url(#glow)"), *lattice,
        rect(200, 540, 800, 10, "#3a2214"), *curtain, rect(150, 200, 900, 40, "#4b2d1a", filter="url(#shadow10)"),
        path("M60 200L600 80L1140 200Z", "#33241c", filter="url(#shadow10)"),
        *[path(f"M{600 + x} {84 + abs(x) * 0.21:.0f}V200", stroke="#241812", stroke_width=5) for x in range(-500, 501, 50)],
        group(circle(0, 0, 75, "#ffc36b", opacity=0.6, filter="url(#blur30)"), rect(-36, -78, 72, 16, "#2a1a12", rx=4),
              oval(0, 0, 62, 72, "url(#lamp)"), rect(-36, 64, 72, 16, "#2a1a12", rx=4),
              *[path(f"M-{60 - abs(y) // 4} {y}H{60 - abs(y) // 4}", stroke="#a2471b", stroke_width=2, opacity=0.6)
                for y in range(-54, 55, 18)], move=(104, 400)),
        oval(600, 850, 420, 40, "#ffb65a", opacity=0.35, filter="url(#blur30)"),
        group(rect(-46, -20, 92, 100, "#4a4038", rx=8), *[leaf(0, -10, 130, turn, GREENS[at % 3], vein="#d9e6c6")
              for at, turn in enumerate((-150, -125, -100, -80, -55, -30))], move=(1100, 740)),
    ]  # fmt: skip
    return picture(*DETAIL, body, 0.2)


def _bottle(x: float, foot: float, w: float, h: float, glass: str, cap: str) -> str:
    neck = w * 0.36
    return group(
        rect(-w / 2, -h, w, h, glass, rx=w * 0.16, filter="url(#shadow10)"),
        rect(-neck / 2, -h - w * 0.36, neck, w * 0.4, cap, rx=4),
        rect(-w * 0.36, -h * 0.62, w * 0.72, h * 0.36, "#fffaf6", rx=3, opacity=0.9),
        path(f"M{-w * 0.18:.0f} {-h * 0.5:.0f}h{w * 0.36:.0f}M{-w * 0.12:.0f} {-h * 0.42:.0f}h{w * 0.24:.0f}",
             stroke="#c39a94", stroke_width=2),
        rect(-w * 0.4, -h * 0.94, w * 0.1, h * 0.86, "#ffffff", rx=4, opacity=0.4),
        move=(x, foot),
    )  # fmt: skip


def beauty_hero() -> str:
    """A mirror, a branch and bottles before a wall with arches, in morning light."""
    body = [
        linear("wall", "#f7ebe5", "#eed9d1", angle=70), linear("arch", "#e4bfb4", "#d5a69b"), linear("shelf", "#fffaf7", "#ecdcd4"),
        linear("mirror", "#ffffff", "#e7dfe3", "#cfc4cc", angle=50), linear("rose", "#dca79f", "#c4857e"),
        linear("glass", "#e9cbbf", "#cf9f93"), linear("milk", "#fffdfb", "#f0e2dc"), linear("beam", "#fff8ee 0.75", "#fff8ee 0"),
        rect(0, 0, 1600, 1000, "url(#wall)"),
        path("M330 800V420a250 250 0 0 1 500 0V800Z", "url(#arch)"),
        path("M930 800V300a290 290 0 0 1 580 0V800Z", "#f5e4dc"),
        path("M400 0L760 0L420 800L-60 800Z", "url(#beam)", filter="url(#blur14)"),
        path("M880 0L1040 0L780 800L560 800Z", "url(#beam)", filter="url(#blur14)"),
        twig(1290, 640, 520, -112, ("#9aa98c", "#b8c2a6", "#84967c"), 120, "#7b7762", 7),
        twig(1300, 640, 430, -68, ("#b8c2a6", "#a7b497", "#8fa085"), 105, "#7b7762", 6),
        twig(1290, 650, 380, -140, ("#a7b497", "#c5cdb4", "#8fa085"), 90, "#7b7762", 5),
        path("M1225 800C1180 720 1220 660 1250 620H1340C1370 660 1410 720 1365 800Z", "url(#milk)", filter="url(#shadow22)"),
        group(circle(0, 0, 212, "#b98a6b", filter="url(#shadow22)"), circle(0, 0, 198, "url(#mirror)"),
              path("M-120 -110L40 -180L-60 150L-170 90Z", "#ffffff", opacity=0.35), rect(-12, 205, 24, 110, "#b98a6b"),
              rect(-90, 306, 180, 18, "#a87a5c", rx=9), move=(610, 476)),
        rect(0, 800, 1600, 200, "url(#shelf)"), rect(0, 800, 1600, 6, "#ffffff"),
        soft(640, 816, 190, 16, "#8f5f55", 0.35, 14), soft(1000, 818, 260, 16, "#8f5f55", 0.35, 14),
        soft(1300, 818, 130, 14, "#8f5f55", 0.35, 14),
        _bottle(905, 806, 112, 230, "url(#glass)", "#8e6a4d"), _bottle(1030, 806, 88, 160, "url(#milk)", "#b08a6a"),
        group(rect(-70, -74, 140, 74, "url(#rose)", rx=10, filter="url(#shadow10)"), rect(-76, -104, 152, 38, "#f7ece6", rx=8),
              move=(1128, 806)),
        group(oval(0, 0, 120, 26, "#fffdfb", filter="url(#shadow10)"), oval(0, -6, 104, 18, "#efdfd8"),
              *[oval(x, -16 - abs(x) % 7, 34, 17, colour, turn=x, filter="url(#shadow4)")
                for x, colour in ((-52, "#e2a8a6"), (-8, "#eec3bd"), (40, "#d9938f"), (66, "#f0cfc8"))], move=(330, 862)),
    ]  # fmt: skip
    return picture(*HERO, body, 0.12)


def beauty_detail() -> str:
    """A bowl of water with petals, a brush and leaves on linen, from above."""
    dice = random.Random(2)
    petals = [
        oval(math.cos(a) * d, math.sin(a) * d, 46, 26, ("#e2a8a6", "#f0cdc5", "#d4908c", "#f7e0da")[at % 4],
             turn=dice.uniform(0, 180), filter="url(#shadow4)")
        for at in range(15) for a, d in [(dice.uniform(0, 6.28), dice.uniform(30, 170))]
    ]  # fmt: skip
    body = [
        linear("linen", "#f6ece6", "#ead8cf", angle=40), radial("water", "#f7fbfa", "#dbe7e5", "#c3d5d3"),
        rect(0, 0, 1200, 900, "url(#linen)"),
        *[path(f"M{x} -20q60 460 -30 940", stroke="#ffffff", stroke_width=26, opacity=0.16) for x in range(60, 1200, 170)],
        _bowl(640, 470, 300, "#fffaf5", "#e5d6cb", circle(0, 0, 256, "url(#water)"), *petals),
        twig(70, 850, 470, -52, ("#9aa98c", "#b8c2a6", "#84967c"), 108, "#7b7762", 6),
        twig(1180, 60, 340, 148, ("#b8c2a6", "#a7b497"), 92, "#7b7762", 5),
        group(rect(0, -16, 270, 32, "#b98a6b", rx=16, filter="url(#shadow10)"), rect(262, -19, 60, 38, "#d8b48a"),
              path("M320 -22C390 -40 420 -14 424 0C420 14 390 40 320 22Z", "#5b4038"), move=(840, 780), turn=-34),
    ]  # fmt: skip
    return picture(*DETAIL, body, 0.14)


def _box(x: float, y: float, w: float, h: float, front: str, side: str, top: str, *on: str) -> str:
    d = w * 0.22
    return group(
        path(f"M0 0H{w}V{h}H0Z", front, filter="url(#shadow22)"), path(f"M{w} 0l{d} {-d * 0.6}V{h - d * 0.6}L{w} {h}Z", side),
        path(f"M0 0l{d} {-d * 0.6}H{w + d}L{w} 0Z", top), *on, move=(x, y),
    )  # fmt: skip


def shop_hero() -> str:
    """Plates, a mug and a parcel on stands before a bold wall."""
    stripes = [rect(0, y, 240, 3, "#d9b48a", opacity=0.5) for y in range(24, 170, 24)]
    body = [
        linear("wall", "#e9542a", "#d2411a", angle=60), linear("floor", "#f3d9b6", "#e4c195"), linear("stand", "#fff3df", "#ecd3ac"),
        radial("plate", "#c8945c", "#a97440", "#8a5a2e"), linear("mug", "#fdf7ec", "#e6d8c2", angle=0), radial("sun", "#ffb070 0.75", "#ffb070 0"),
        rect(0, 0, 1600, 1000, "url(#wall)"), circle(820, 420, 520, "url(#sun)"), circle(820, 430, 330, "#f9c58d", opacity=0.55),
        rect(0, 740, 1600, 260, "url(#floor)"), rect(0, 740, 1600, 5, "#fff4e0", opacity=0.8),
        rect(200, 560, 420, 260, "url(#stand)", rx=6, filter="url(#shadow22)"), oval(410, 562, 210, 34, "#fff9ee"),
        rect(640, 640, 420, 220, "#f7b27a", rx=6, filter="url(#shadow22)"), rect(640, 640, 420, 18, "#fbc796"),
        rect(1080, 500, 330, 340, "url(#stand)", rx=6, filter="url(#shadow22)"), oval(1245, 502, 165, 28, "#fff9ee"),
        group(circle(0, 0, 176, "url(#plate)", filter="url(#shadow22)"), circle(0, 0, 138, "none", stroke="#7b4e26", stroke_width=3, opacity=0.5),
              *[path(f"M{-150 + at * 4} {y}q150 {18 - at} {300 - at * 8} 0", stroke="#6f4520", stroke_width=2.5, opacity=0.4)
                for at, y in enumerate(range(-96, 110, 30))], move=(410, 388)),
        group(rect(-110, -190, 220, 190, "url(#mug)", rx=26, filter="url(#shadow22)"),
              path("M108 -150c90 -10 90 110 0 104", stroke="#e6d8c2", stroke_width=26), rect(-110, -110, 220, 46, "#c2390f"),
              oval(0, -188, 108, 20, "#cdbd9f"), oval(0, -185, 96, 15, "#6a4327"), move=(850, 640)),
        _box(1120, 310, 230, 190, "#c99a67", "#a97c4c", "#dcb488", *[group(*stripes, opacity=0)],
             rect(96, 0, 38, 190, "#1d1d1d"), path("M115 0c-70 -70 -90 0 0 0c90 0 70 -70 0 0Z", "#1d1d1d")),
        twig(130, 800, 330, -76, ("#2f4a38", "#456a4d", "#7d9a68"), 100, "#2b2b22", 5),
        group(oval(0, 0, 120, 24, "#fff9ee", filter="url(#shadow10)"), *[rect(-70 + at * 48, -24, 40, 16, colour, rx=8, filter="url(#shadow4)")
              for at, colour in enumerate(("#1d1d1d", "#8a5a2e", "#c2390f"))], move=(1450, 900)),
    ]  # fmt: skip
    return picture(*HERO, body, 0.14)


def shop_detail() -> str:
    """An open parcel with paper and a bowl, from above."""
    dice = random.Random(6)
    shreds = [
        path(f"M{x:.0f} {y:.0f}q{dice.uniform(-40, 40):.0f} {dice.uniform(-40, 40):.0f} {dice.uniform(-70, 70):.0f} {dice.uniform(-60, 60):.0f}",
             stroke=("#f1e3c8", "#e2cda4", "#fbf3e2")[at % 3], stroke_width=9)
        for at in range(150) for x, y in [(dice.uniform(330, 870), dice.uniform(230, 670))]
    ]  # fmt: skip
    body = [
        linear("floor", "#f4efe6", "#e6ded0", angle=50), radial("wood", "#d7a56a", "#b27e45", "#8a5a2e"),
        rect(0, 0, 1200, 900, "url(#floor)"),
        path("M290 190L120 60H1080L910 190Z", "#d9ad77", filter="url(#shadow22)"),
        path("M290 710L140 850H1060L910 710Z", "#cfa068", filter="url(#shadow22)"),
        path("M290 190L90 300V600L290 710Z", "#c5955c", filter="url(#shadow22)"),
        path("M910 190L1110 300V600L910 710Z", "#bf8f56", filter="url(#shadow22)"),
        rect(290, 190, 620, 520, "#9a6d3b"), rect(310, 210, 580, 480, "#7e5529"), *shreds,
        _bowl(520, 450, 168, "url(#wood)", "#9d6b37", circle(0, 0, 110, "#b98549"), circle(0, 0, 60, "#a87338", opacity=0.7)),
        group(rect(-90, -56, 180, 112, "#fffaf0", filter="url(#shadow10)"), rect(-90, -56, 180, 14, "#c2390f"),
              path("M-56 -10h112M-56 14h80", stroke="#b9ad98", stroke_width=5), move=(770, 380), turn=14),
        leaf(690, 600, 150, -20, "#456a4d", vein="#d7e4cf"), leaf(690, 600, 130, 28, "#7d9a68", vein="#eef5e8"),
    ]  # fmt: skip
    return picture(*DETAIL, body, 0.16)


def school_hero() -> str:
    """A bright desk from above: notebook, pencils, ruler, set square, an apple."""
    lines = [path(f"M40 {y}H430", stroke="#bcd0ee", stroke_width=2) for y in range(60, 560, 36)]
    sketch = (
        path("M80 150L180 80L280 150V240H80Z", stroke="#2456b8", stroke_width=7), circle(350, 110, 38, "none", stroke="#f0a51e", stroke_width=7),
        path("M80 330q50 -60 100 0t100 0t100 0", stroke="#e2574c", stroke_width=7),
        path("M84 420h150M84 456h220M84 492h120", stroke="#6b7896", stroke_width=6),
    )  # fmt: skip
    pencils = [
        group(rect(0, -15, 250, 30, colour, filter="url(#shadow4)"), rect(0, -15, 250, 9, "#ffffff", opacity=0.3),
              path("M250 -15L300 0L250 15Z", "#f4dcb4"), path("M284 -5L300 0L284 5Z", colour), rect(-30, -15, 30, 30, "#f2a7a0", rx=6),
              move=(1120, 250 + at * 62), turn=-18 + at * 4)
        for at, colour in enumerate(("#e2574c", "#2b9a6b", "#2456b8", "#f0a51e"))
    ]  # fmt: skip
    body = [
        linear("desk", "#ffe08a", "#fcd05e", angle=60), radial("apple", "#f2695c", "#d63d34", cx=0.4, cy=0.35), radial("lamp", "#ffffff 0.65", "#ffffff 0", cx=0.2, cy=0.05, r=0.8),
        rect(0, 0, 1600, 1000, "url(#desk)"),
        *[path(f"M{x} 0V1000", stroke="#f4bf3d", stroke_width=2, opacity=0.4) for x in range(0, 1600, 80)],
        group(rect(-480, -330, 960, 660, "#2456b8", rx=14, filter="url(#shadow22)"), rect(-470, -320, 464, 640, "#fffef8", rx=8),
              rect(6, -320, 464, 640, "#fffdf2", rx=8), rect(-14, -320, 28, 640, "#e3dcc4", opacity=0.7),
              group(*lines, *sketch, move=(-466, -300)), group(*lines, move=(10, -300)),
              path("M70 -200l28 30l56 -66M70 -90l28 30l56 -66M70 20l28 30l56 -66", stroke="#2b9a6b", stroke_width=11),
              path("M200 -190h190M200 -80h150M200 30h170", stroke="#6b7896", stroke_width=9), move=(640, 520), turn=-5),
        *pencils,
        group(rect(0, 0, 480, 74, "#8fd0e8", rx=6, opacity=0.9, filter="url(#shadow10)"),
              *[rect(14 + at * 15, 0, 2.5, 34 if at % 5 == 0 else 20, "#2a5f7a") for at in range(31)], move=(1060, 830), turn=-14),
        path("M1180 760L1500 760L1500 520Z M1290 720L1460 720L1460 594Z", "#f48a5a", opacity=0.9, fill_rule="evenodd", filter="url(#shadow10)"),
        group(circle(-26, 0, 74, "url(#apple)", filter="url(#shadow10)"), circle(26, 0, 74, "url(#apple)"), path("M0 -50q6 -40 30 -50", stroke="#6a4327", stroke_width=9),
              leaf(14, -74, 70, -24, "#5fa052"), oval(-46, -26, 14, 24, "#ffffff", turn=30, opacity=0.4), move=(150, 190)),
        *[group(rect(-62, -62, 124, 124, colour, filter="url(#shadow4)"), move=(x, y), turn=turn)
          for x, y, turn, colour in ((140, 860, -8, "#ffffff"), (220, 800, 9, "#bfe3d0"))],
        rect(0, 0, 1600, 1000, "url(#lamp)"),
    ]  # fmt: skip
    return picture(*HERO, body, 0.1)


def school_detail() -> str:
    """A shelf of books, a globe and a plant."""
    dice = random.Random(12)
    colours = ("#2456b8", "#e2574c", "#f0a51e", "#2b9a6b", "#7a5bb0", "#fffef8", "#3aa7c2")
    books, x = [], 150.0
    for at in range(15):
        w, h = dice.uniform(34, 58), dice.uniform(210, 290)
        books.append(
            group(rect(0, -h, w, h, colours[at % 7], rx=4, filter="url(#shadow4)"), rect(6, -h + 26, w - 12, 10, "#ffffff", opacity=0.6),
                  rect(6, -50, w - 12, 6, "#ffffff", opacity=0.5), move=(x, 430))
        )  # fmt: skip
        x += w + 4
    body = [
        linear("wall", "#fff6d6", "#ffe9a6", angle=70), linear("board", "#e3b46f", "#c88f47"), radial("sea", "#7cc6ea", "#3c8fc4", cx=0.38, cy=0.35),
        rect(0, 0, 1200, 900, "url(#wall)"), circle(980, 150, 240, "#ffffff", opacity=0.5, filter="url(#blur60)"),
        *books, rect(100, 430, 1000, 34, "url(#board)", filter="url(#shadow10)"),
        group(path("M-120 -40a130 130 0 1 0 200 -140", stroke="#8a5a2e", stroke_width=14), circle(0, -130, 118, "url(#sea)", filter="url(#shadow10)"),
              path("M-80 -180q40 -40 80 -20q20 30 -20 50q-60 10 -60 -30ZM10 -110q50 -20 80 10q0 50 -50 60q-40 -20 -30 -70Z", "#6bb56a"),
              rect(-8, -12, 16, 40, "#8a5a2e"), rect(-70, 20, 140, 18, "#8a5a2e", rx=9), move=(330, 742)),
        group(rect(-70, -110, 140, 120, "#e2574c", rx=10, filter="url(#shadow10)"), *[leaf(0, -110, 190, turn, GREENS[at % 3], vein="#dfead2")
              for at, turn in enumerate((-160, -135, -112, -90, -68, -45, -20))], move=(860, 770)),
        *[rect(520, 740 - at * 40, 220 - at * 14, 36, colour, rx=5, filter="url(#shadow4)") for at, colour in enumerate(("#2b9a6b", "#f0a51e", "#2456b8"))],
        rect(100, 780, 1000, 34, "url(#board)", filter="url(#shadow10)"),
    ]  # fmt: skip
    return picture(*DETAIL, body, 0.1)
