"""Text of JSON documents as browsers write it."""

import re

SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# each escape: a surrogate pair, half a pair (the group), or another escape, whose "\\" must not begin a half
ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def whole_characters(data: bytes) -> bytes:
    r"""Return JSON with U+FFFD in place of each escape of half a surrogate pair, which is no character.

    `JSON.stringify` writes such an escape for a text that was cut within a character: `"😀".slice(0, 1)` is `"\ud83d"`.
    Browsers send the same text as U+FFFD in a form.
    """
    if not SURROGATE.search(data):
        return data
    return ESCAPES.sub(lambda found: rb"\ufffd" if found[1] else found[0], data)
