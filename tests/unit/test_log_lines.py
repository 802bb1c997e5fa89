"""Log lines never contain a login, also in messages of libraries."""

import logging

import pytest

from streams.runtime.logs import log_to_stderr, without_secrets
from streams.runtime.settings import Settings

URL = "http://registry:s3cret%40word@schemas.test:8081/subjects"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://svc:p@ss@127.0.0.1:1/v1", "http://127.0.0.1:1/v1"),
        ("http://svc:p@s@s@host/a@b", "http://host/a@b"),
        ("redis://user:hunt/er@redis:6379", "redis://redis:6379"),
        ("redis://user:hunt?er#1@redis:6379 and mail to a@b.test", "redis://redis:6379 and mail to a@b.test"),
        ("redis://redis:6379?password=hunter2", "redis://redis:6379?password=…"),
        ("redis://redis:6379/0?db=1&Password=hunter2&x=1", "redis://redis:6379/0?db=1&Password=…&x=1"),
        (f"http://svc:{'hunter2' * 200}@host:1", "http://host:1"),
        ("https://s3.test/b/k?X-Amz-Algorithm=A&X-Amz-Credential=hunter%2F1&X-Amz-Signature=hunter&X-Amz-Expires=9",
         "https://s3.test/b/k?X-Amz-Algorithm=A&X-Amz-Credential=…&X-Amz-Signature=…&X-Amz-Expires=9"),
        ("(http://h/?api_key=hunter&api-version=1)", "(http://h/?api_key=…&api-version=1)"),
        ('"https://h/cb?code=1&access_token=hunter"', '"https://h/cb?code=1&access_token=…"'),
        ("https://b.test/k?sig=hunter&AWSAccessKeyId=hunter", "https://b.test/k?sig=…&AWSAccessKeyId=…"),
        ("https://h/?X-Goog-Signature=hunter", "https://h/?X-Goog-Signature=…"),
        ("https://h/v1?key=hunter", "https://h/v1?key=…"),
        ("https://h/?monkey=1&tokens=2&author=x", "https://h/?monkey=1&tokens=2&author=x"),
        ("http://a.test/x, then mail a@b.test", "http://a.test/x, then mail a@b.test"),
        ("http://a:1/x http://u:p@b:2/y", "http://a:1/x http://b:2/y"),
        ('{"a":"http://h:1/x","b":"u@v"}', '{"a":"http://h:1/x","b":"u@v"}'),
        ("https://npm.test/@scope/name", "https://npm.test/@scope/name"),
    ],
)  # fmt: skip
def test_secrets_of_urls_are_removed(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_a_long_line_without_a_login_is_read_once() -> None:
    text = "://" * 100_000 + "a" * 100_000
    assert without_secrets(text) == text


@pytest.mark.parametrize("form", ["text", "json"])
def test_logins_in_urls_are_removed_from_log_lines(
    form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])  # without pytest's handlers
    monkeypatch.setattr(logging.root, "level", logging.root.level)
    log_to_stderr(Settings(log_format=form), "edge")  # type: ignore[arg-type]
    log = logging.getLogger("anybody")
    log.warning("registry at %s: no answer", URL)
    try:
        raise ValueError(f"cannot connect to {URL}")
    except ValueError:
        log.exception("failed")
    log.warning("mail to a@b.test, path //x/y@z")
    written = capsys.readouterr().err
    assert "s3cret" not in written
    assert written.count("http://schemas.test:8081/subjects") >= 2
    assert "a@b.test, path //x/y@z" in written
