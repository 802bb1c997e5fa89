"""The check of a model's language: only finished Japanese copy is published."""

import tomllib
from pathlib import Path

import pytest

from processors.pages.language import wrong_language
from schemas.copywriting import NAME_SLOT, TOPIC_SLOT

REFUSALS = tomllib.loads((Path(__file__).parent / "corpora" / "refusals.toml").read_text("utf-8"))


@pytest.mark.parametrize(
    "text",
    [
        "Welcome to our shop, we are glad to see you", "Beautiful garden", "Yasashii aji wo otodoke shimasu",
        "欢迎光临我们的店", "我們提供最好的服務給您", "歡迎光臨本店", "优质服务团队", "为您提供专业的服务", "您好",
        "정성을 다해 모시겠습니다", "心を込めて 정성", "Добро пожаловать",
        "お店の专业スタッフがお迎えします",
        "〇〇市の造園店です", "○○をお探しの方へ", "●●県で暮らす方へ", "[商品名]をお届けします",
        "{{name}}へようこそ", "{店名}の庭づくり",
        "【店名】へようこそ", "（会社名）のご案内", "XXXをお試しください", "ここに説明を入れてください",
        "ダミーテキストです", "〔地域〕の庭づくり", "TODO: 見出し",
        "**大切な**庭を守ります", "# 庭のある暮らし", "- 庭の手入れをします", "1. まずはご相談ください",
        "`庭`のご相談", "[庭](https://a)のご相談", "> 庭の声",
        "見出し。4〜14文字。句点なし", "キャッチコピー。10〜22文字。読点は一つまで、句点なし", "説明。35〜70文字",
        "ボタンの文言",
        "申し訳ありませんが、そのリクエストにはお答えできません", "AIとしてお答えします",
        "キャッチコピー案：庭とともに",
        r"庭の\u3042る暮らし", r"\今だけ/", "「庭のある暮らし", "庭のある暮らし（一年中", "＊大切な＊庭を守ります",
    ],
)  # fmt: skip
def test_unfinished_or_foreign_text_is_refused(text: str) -> None:
    assert wrong_language(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "庭のある暮らしを、これからも", "地域密着の総合税務", "初回相談の流れ", "予約する", "Q&A", "LINEで予約する",
        "WEBから申し込む", "麵と出汁の店",
        "髙橋さんの庭", "﨑の字も書けます", f"{NAME_SLOT}へようこそ", f"{TOPIC_SLOT}をお探しの方へ",
        "<strong>ここち</strong>よい時間を、今日もお届けします。",
        "Google Meetでのご相談も承ります", "庭の「困った」をお聞かせください", "（土日のご相談も承ります）",
        "3つの手順で進みます", "二〇二六年の春に",
        "【ご予約】お電話でどうぞ", "お茶、コーヒー、紅茶からお選びいただけます",
        r"庭のある暮らしを、\n今日から", "・庭のある暮らし", "＼庭のある暮らし／", "1）庭の声をうかがいます",
        "説明をお聞きになってからお決めください", "コツは、水やりの時間",
    ],
)  # fmt: skip
def test_japanese_copy_is_published(text: str) -> None:
    assert wrong_language(text) is None


@pytest.mark.parametrize("text", (REFUSALS["refusals"] + REFUSALS["remarks"]).splitlines())
def test_a_refusal_or_a_remark_of_a_model_is_no_copy(text: str) -> None:
    assert wrong_language(text) is not None


@pytest.mark.parametrize("text", REFUSALS["harmless"].splitlines())
def test_a_business_may_say_what_it_cannot_do(text: str) -> None:
    assert wrong_language(text) is None
