"""The analyser: it finds words, and only processes that check copy load it."""

import subprocess
import sys

import pytest
from patience import PATIENCE_S

from processors.pages.morphemes import begins_word, boundaries


def test_a_compound_is_one_word_and_has_short_parts() -> None:
    assert 2 not in boundaries("絶対音感の話")
    assert 2 in boundaries("絶対音感の話", short=True)


@pytest.mark.parametrize(
    "text",
    [
        "ワイン|バー", "テキーラ|バー", "シーシャ|バー", "クラフトジン|バー", "チャイ|バー", "コン|カフェ|運営",
        "さぬき|うどん", "ミール|パン", "ママ|ヨガ", "カニ|パン|の店", "エニタイム|ジム", "ロミロミ|サロン|経営",
        "カツ|カレー", "おいしい|パン", "町の|パン", "肉|バル", "|バー",
    ],
)  # fmt: skip
def test_a_name_begins_a_word_if_no_longer_word_ends_with_it(text: str) -> None:
    before, name, *_ = text.split("|")
    assert begins_word(text.replace("|", ""), len(before), len(before + name))


@pytest.mark.parametrize(
    "text",
    [
        "サー|バー|構築", "ゲームサー|バー", "運転代行ドライ|バー", "ソファカ|バー", "ユーチュー|バー", "シャン|パン",
        "グロー|バー", "サバイ|バル", "光ファイ|バー",
    ],
)  # fmt: skip
def test_no_name_begins_a_word_inside_a_word_of_the_dictionary(text: str) -> None:
    before, name, *_ = text.split("|")
    assert not begins_word(text.replace("|", ""), len(before), len(before + name))


def test_the_edge_does_not_load_the_analyser() -> None:
    program = (
        "import sys\n"
        "import streams.edge.server, streams.edge.routes, streams.edge.services, streams.pictures.cards\n"
        "assert not [name for name in sys.modules if 'sudachi' in name]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE_S)
