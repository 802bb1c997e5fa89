"""The designs, one per trade: colours, type and order of sections. CSS files have the rest."""

from dataclasses import dataclass, field, replace

from schemas.plan import Brief

USUAL = (
    "hero",
    "problems",
    "solution",
    "benefits",
    "proof",
    "price",
    "treatments",
    "flow",
    "faq",
    "information",
    "closing",
)
# English words that are usual on Japanese pages; the other headings stand alone
ENGLISH = {
    "solution": "Concept",
    "proof": "Voice",
    "price": "Price",
    "treatments": "Treatments",
    "flow": "Flow",
    "faq": "Q&A",
    "information": "Information",
    "closing": "Contact",
}


def ordered(*first: str) -> tuple[str, ...]:
    """Return the hero, then the given sections, then all others in the usual order."""
    return ("hero", *first, *(name for name in USUAL if name not in ("hero", *first)))


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """The design of a trade.

    A test checks that contrast is at least 4.5 for ink on paper and on soft, accent on paper, on_accent on accent, and
    on_deep on deep.
    """

    name: str
    kind: str
    paper: str
    soft: str
    ink: str
    quiet: str
    line: str
    accent: str
    on_accent: str
    deep: str
    on_deep: str
    name_word: str = "名称"
    hours_word: str = "営業時間"
    serif: bool = False
    upright: bool = False
    order: tuple[str, ...] = USUAL
    numerals: tuple[str, ...] = ("01", "02", "03", "04", "05")
    english: dict[str, str] = field(default_factory=dict)

    def label(self, section: str) -> str:
        """Return the small English word above a section's heading; empty for none."""
        return self.english.get(section, ENGLISH.get(section, ""))


KANJI = ("一", "二", "三", "四", "五")
DESIGNS = {
    design.name: design
    for design in (
        Design(
            "restaurant", "Restaurant",
            paper="#fbf6ec", soft="#f3e9d8", ink="#33261c", quiet="#6d5a4a", line="#dccbb2",
            accent="#a8321a", on_accent="#ffffff", deep="#2b1d14", on_deep="#f8ecd9",
            serif=True, numerals=KANJI,
            order=ordered("solution", "problems", "price", "benefits"),
            english={"price": "Menu"},
            upright=True,
            name_word="店名",
        ),
        Design(
            "beauty", "BeautySalon",
            paper="#fffdfc", soft="#f9efec", ink="#43363a", quiet="#78656a", line="#e8d8d4",
            accent="#95505f", on_accent="#ffffff", deep="#5d3b45", on_deep="#fdf3f1",
            serif=True, numerals=("i", "ii", "iii", "iv", "v"),
            order=ordered("problems", "solution", "price"),
            english={"price": "Menu"},
            name_word="サロン名",
        ),
        Design(
            "realestate", "RealEstateAgent",
            paper="#ffffff", soft="#eef2f5", ink="#1c2a38", quiet="#546474", line="#d3dce4",
            accent="#1b5a86", on_accent="#ffffff", deep="#142a3e", on_deep="#eef4f9",
            english={"solution": "Policy"},
            name_word="会社名",
        ),
        Design(
            "clinic", "MedicalClinic",
            paper="#ffffff", soft="#edf7f6", ink="#20393c", quiet="#4c686b", line="#cfe5e3",
            accent="#0c736f", on_accent="#ffffff", deep="#0f4f52", on_deep="#effaf9",
            order=ordered("information", "problems", "solution", "flow"),
            english={"solution": "Policy"},
            name_word="医院名", hours_word="診療時間",
        ),
        Design(
            "school", "EducationalOrganization",
            paper="#fffdf5", soft="#fdf3cf", ink="#263049", quiet="#55607a", line="#e9dcb0",
            accent="#2456b8", on_accent="#ffffff", deep="#24407a", on_deep="#fdf8e4",
            numerals=("1", "2", "3", "4", "5"),
            english={"price": "Course"},
            name_word="教室名", hours_word="受付時間",
        ),
        Design(
            "shop", "Store",
            paper="#f6f5f2", soft="#ffffff", ink="#161616", quiet="#55534e", line="#d9d6ce",
            accent="#c2390f", on_accent="#ffffff", deep="#161616", on_deep="#f6f5f2",
            order=ordered("price", "solution", "benefits"),
            english={"price": "Item"},
            name_word="店名",
        ),
        Design(
            "counsel", "ProfessionalService",
            paper="#fcfbf8", soft="#f2efe8", ink="#23262b", quiet="#5c5f65", line="#d9d4c8",
            accent="#23463a", on_accent="#ffffff", deep="#1e2d29", on_deep="#f3efe4",
            serif=True,
            english={"solution": "Policy"},
            name_word="事務所名", hours_word="受付時間",
        ),
        Design(
            "generic", "LocalBusiness",
            paper="#ffffff", soft="#f0f5ef", ink="#22302a", quiet="#52635a", line="#d5e1d6",
            accent="#2a6a4c", on_accent="#ffffff", deep="#1d4434", on_deep="#f0f7f1",
        ),
    )
}  # fmt: skip


def design_of(template: str) -> Design:
    """Return the design with this name, or the generic design for an unknown name."""
    return DESIGNS.get(template, DESIGNS["generic"])


def look_of(brief: Brief) -> Design:
    """Return the design of a page: the look of its template, the words of its trade, its own order.

    Sections that are newer than the page's order stand before the last one.
    """
    look, own, order = design_of(brief.template), design_of(brief.trade), brief.order
    if order:
        order = (*order[:-1], *(name for name in look.order if name not in order), order[-1])
    if look is own and not order:
        return look
    order = order or look.order
    return replace(
        look, order=order, kind=own.kind, name_word=own.name_word, hours_word=own.hours_word, english=own.english
    )
