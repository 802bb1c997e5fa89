"""`emphasised` calls nh3 only for texts that nh3 would change."""

import nh3

from processors.text import emphasised, written


def test_a_letter_without_markup_needs_no_nh3() -> None:
    letters = [chr(code) for code in range(0x3100) if chr(code) not in "<>&\u00a0"]
    for letter in letters:
        text = f"あ{letter}い"
        assert emphasised(text) == written(nh3.clean(text, tags={"strong", "em"}, attributes={})), hex(ord(letter))


def test_markup_is_cleaned_and_other_signs_are_escaped() -> None:
    assert emphasised("<strong>今日</strong><script>x</script>だけ") == "<strong>今日</strong>だけ"
    assert emphasised("3 < 5 & 7 > 2") == "3 &lt; 5 &amp; 7 &gt; 2"
