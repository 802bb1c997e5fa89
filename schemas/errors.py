"""Errors that several packages use. A message names the fault, the value and the remedy."""

from typing import Self


class LpstreamError(Exception):
    """Base of all errors of lpstream. Its text may be shown to a user."""


class DecodeError(LpstreamError):
    """A record or a body that cannot be decoded to its model.

    `field` is the path of the wrong field ("sections[2]"), or "" for the whole document.
    """

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.field = field
        self.detail = detail

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        """Return how a process passes the error to another process."""
        return type(self), (self.field, self.detail)


class TooMuchError(DecodeError):
    """A document or a schema that takes more work than one record may cause."""


class SettingError(LpstreamError):
    """One or more settings are missing or wrong."""


class Retryable(LpstreamError):  # noqa: N818 - the name says what the caller does
    """A store or a peer that did not answer, or is busy: the same call may succeed later."""

    def __init__(self, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Refused(LpstreamError):  # noqa: N818 - the name says what happened
    """A call that a store or a peer refuses: the same call will fail again."""

    def __init__(self, detail: str, code: int | None = None) -> None:
        super().__init__(detail)
        self.code = code
