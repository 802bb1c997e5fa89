"""The layout of a page that lpstream made, read from its HTML."""

from html.parser import HTMLParser

from processors.findings.counts import Layout
from schemas.heatmap import MAX_SECTIONS

ACTIVE = ("a", "button", "input", "label", "select", "summary", "textarea")


def layout_of(html: bytes) -> Layout:
    """Return the page's sections and its calls to action."""
    reader = _Reader()
    reader.feed(html.decode("utf-8", "replace"))
    sections, calls = tuple(reader.sections[:MAX_SECTIONS]), tuple(reader.calls)
    tel = frozenset(reader.tel)
    links = frozenset(reader.links)
    return Layout(True, sections, calls, reader.top, reader.bar, links, tel, tel - reader.other)


class _Reader(HTMLParser):
    """A reader of the sections and calls. Sections of our templates do not nest."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: list[str] = []
        self.calls: list[str] = []
        self.links: set[str] = set()
        self.tel: set[str] = set()
        self.other: set[str] = set()
        self.top = self.bar = False
        self._section: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a section or a call."""
        values = dict(attrs)
        classes = (values.get("class") or "").split()
        if tag in ACTIVE and (name := values.get("data-element") or values.get("id")):
            self.links.add(name)
        if tag == "section":
            self._section = values.get("data-section") or values.get("id")
            if self._section:
                self.sections.append(self._section)
        elif tag == "a" and "top-tel" in classes:
            self.top = True
        elif tag == "a" and {"bar-call", "bar-tel"} & set(classes):
            self.bar = True
        elif self._is_call(tag, classes, values) and self._section:
            (self.tel if (values.get("href") or "").startswith("tel:") else self.other).add(self._section)
            if self._section not in self.calls:
                self.calls.append(self._section)

    def handle_endtag(self, tag: str) -> None:
        """Note the end of a section."""
        if tag == "section":
            self._section = None

    def _is_call(self, tag: str, classes: list[str], values: dict[str, str | None]) -> bool:
        return "call" in classes or (tag == "a" and (values.get("href") or "").startswith(("tel:", "mailto:")))
