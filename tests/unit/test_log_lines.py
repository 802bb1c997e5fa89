"""Log lines never contain a login, also in messages of libraries."""

import logging

import pytest

from streams.runtime.logs import log_to_stderr
from streams.runtime.settings import Settings

URL = "http://registry:s3cret%40word@schemas.test:8081/subjects"


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
