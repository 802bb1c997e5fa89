"""Errors in the form of ClickHouse's HTTP interface: code, name, text and HTTP status."""

import re

# error codes by HTTP status, as in ClickHouse's HTTPHandler; other codes give 500
BAD_REQUEST = {6, 26, 27, 38, 41, 43, 44, 53, 62, 69, 72, 117, 130, 167, 168, 182, 348, 427, 441, 457, 675, 676}
NOT_FOUND = {46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 284, 336}
FORBIDDEN = {192, 193, 497, 512, 516}
UNAVAILABLE = {209, 439}
# not implemented, a time-out, a password is required, a statement or a coding of the body that is not accepted
OTHERS = {48: 501, 159: 408, 194: 401, 229: 413, 779: 415}

_CODE = re.compile(r"Code: (\d+)\.")


class ServerError(Exception):
    """An error for the client."""

    def __init__(self, code: int, name: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.name = name
        self.text = text

    def body(self, version: str) -> str:
        """Return the body of the response."""
        return f"Code: {self.code}. DB::Exception: {self.text} ({self.name}) (version {version})\n"


class DeniedError(ServerError):
    """A refusal of something that an analyst may not use.

    `kind` and `name` say what was refused, if it has a name: a function, table, database or format.
    """

    def __init__(self, what: str, kind: str = "", name: str = "") -> None:
        """Build the refusal. `what` completes "analyst: Not enough privileges for"."""
        super().__init__(497, "ACCESS_DENIED", f"analyst: Not enough privileges for {what[:200]}.")
        self.kind = kind
        self.refused = name

    @classmethod
    def named(cls, kind: str, name: str) -> "DeniedError":
        """Return the refusal of a function, table function, table, database or format."""
        return cls(f"{name}()" if kind.endswith("function") else f"the {kind} {name}", kind, name)


class EngineError(ServerError):
    """An error with the engine's own text."""

    def __init__(self, message: str) -> None:
        match = _CODE.search(message)
        super().__init__(int(match.group(1)) if match else 1002, "", message)

    def body(self, version: str) -> str:
        """Return the engine's own text."""
        return f"{self.text.rstrip()} (version {version})\n"


def status_of(code: int) -> int:
    """Return the HTTP status for an error code."""
    for codes, status in ((BAD_REQUEST, 400), (NOT_FOUND, 404), (FORBIDDEN, 403), (UNAVAILABLE, 503)):
        if code in codes:
            return status
    return OTHERS.get(code, 500)
