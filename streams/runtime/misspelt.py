"""Environment variables that resemble a setting and are none.

Without a warning a misspelt setting would be ignored.
"""

import difflib
import os
import re

from pydantic import SecretStr

from streams.runtime.settings import PREFIX, Settings

LIKE = 0.85
# Kubernetes adds these for each Service; the bootstrap Service of Strimzi begins with the prefix
OF_KUBERNETES = re.compile(r"_SERVICE_(?:HOST|PORT\w*)\Z|_PORT(?:_\d+_\w+)?\Z")


def misspelt_settings() -> list[str]:
    """Return a line for each variable that resembles a setting and is none."""
    fields = {f"{PREFIX}{name.upper()}": field for name, field in Settings.model_fields.items()}
    known = {*fields, *(f"{name}_FILE" for name, field in fields.items() if field.annotation is SecretStr)}
    lines = []
    for name in sorted(os.environ.keys() - known):
        if name.startswith(PREFIX) and not OF_KUBERNETES.search(name):
            like = difflib.get_close_matches(name, known, 1, LIKE)
            lines += [f"warning: {name} is no setting and is ignored; did you mean {each}?" for each in like]
    return lines
