"""The cleaning of a writer's texts: `emphasised` calls nh3 only for texts that nh3 would change."""

import nh3
import pytest

from processors.text import emphasised, plain, shown, written


def test_a_letter_without_markup_needs_no_nh3() -> None:
    letters = [chr(code) for code in range(0x3100) if chr(code) not in "<>&\u00a0"]
    for letter in letters:
        text = f"あ{letter}い"
        assert emphasised(text) == written(nh3.clean(text, tags={"strong", "em"}, attributes={})), hex(ord(letter))


def test_markup_is_cleaned_and_other_signs_are_escaped() -> None:
    assert emphasised("<strong>今日</strong><script>x</script>だけ") == "<strong>今日</strong>だけ"
    assert emphasised("3 < 5 & 7 > 2") == "3 &lt; 5 &amp; 7 &gt; 2"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (r"夜に、\n一杯を", "夜に、 一杯を"), (r"夜に、\\n一杯を", "夜に、 一杯を"),
        (r"夜に\r\n一杯を\t", "夜に 一杯を"),
        (r"\"夜\"の一杯", '"夜"の一杯'), (r"夜の一杯です。\"", "夜の一杯です。"), ('夜の一杯です。"', "夜の一杯です。"),
        (r"24時間\/365日", "24時間/365日"), (r"\name", r"\name"), (r"夜に\u3042の一杯", r"夜に\u3042の一杯"),
        ("・夜の一杯", "夜の一杯"), ("■ 夜の一杯", "夜の一杯"), ("→ 問い合わせる", "問い合わせる"),
        ("■■をお探しの方へ", "■■をお探しの方へ"), ("○×クイズです", "○×クイズです"), ("＼今だけ／", "＼今だけ／"),
    ],
)  # fmt: skip
def test_escapes_and_marks_of_a_form_are_no_part_of_the_words(text: str, cleaned: str) -> None:
    assert plain(text) == cleaned
    assert emphasised(text) == cleaned


def test_a_customers_text_stays_as_it_is_typed() -> None:
    assert shown(r"・\5,000 \n 「税込") == r"・\5,000 \n 「税込"
