"""Errors that cross rooms. Whoever raises one says what is wrong, with what, and what to do."""


class LpstreamError(Exception):
    """Root of all errors of lpstream; its text is fit to be shown to a user."""


class DecodeError(LpstreamError):
    """A record or a body that cannot become its model.

    `field` is the path of the field at fault ("sections[2]"), or "" when the whole is no document.
    """

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.field = field
        self.detail = detail


class TooMuchError(DecodeError):
    """A document that fits its model, but asks for more work than one record may."""


class SettingError(LpstreamError):
    """One or more settings are missing or wrong."""


class Retryable(LpstreamError):  # noqa: N818 - named for what the caller does with it
    """A store or a peer did not answer, or said "not now": the same call may go through later."""

    def __init__(self, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Refused(LpstreamError):  # noqa: N818 - named for what happened
    """A store or a peer will not do this, now or later."""

    def __init__(self, detail: str, code: int | None = None) -> None:
        super().__init__(detail)
        self.code = code
