"""The terminal shows text of visitors, models and files as it is."""

import io

import pytest
from rich.table import Table

from streams.local.console import PlainConsole

FOREIGN = [
    "価格[/b]",
    "料金[b]",
    "[red]お問い合わせ[/red]",
    "[/]",
    "[link=https://example.com]x[/link]",
    ":smile: a:b:c",
    "全角　空白",
    "a\\[b]",
]
CONTROLS = [
    ("\x1b[2J消去", "\\x1b[2J消去"),
    ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
    ("a\rb\x08c", "a\\rb\\x08c"),
    ("\x9b31m", "\\x9b31m"),
    ("価\u202e格", "価\\u202e格"),
    ("a\x00b", "a\\x00b"),
]  # fmt: skip


def printed(text: str, *, in_table: bool) -> str:
    file = io.StringIO()
    console = PlainConsole(file=file, width=200, force_terminal=True, color_system=None)
    table = Table(text)
    table.add_row(text)
    console.print(table if in_table else text)
    return file.getvalue()


@pytest.mark.parametrize("in_table", [False, True])
@pytest.mark.parametrize("text", FOREIGN)
def test_text_in_brackets_and_colons_is_printed_as_it_is(text: str, in_table: bool) -> None:
    assert printed(text, in_table=in_table).count(text) == 1 + in_table


@pytest.mark.parametrize("in_table", [False, True])
@pytest.mark.parametrize(("text", "shown"), CONTROLS)
def test_control_characters_are_printed_as_escapes(text: str, shown: str, in_table: bool) -> None:
    answer = printed(text, in_table=in_table)
    assert answer.count(shown) == 1 + in_table
    assert text not in answer


def test_a_line_break_and_a_tab_stay() -> None:
    assert printed("one\n\ttwo", in_table=False).split() == ["one", "two"]
