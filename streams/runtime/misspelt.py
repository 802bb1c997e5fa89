"""Environment variables that resemble a setting and are none.

Without a warning a misspelt setting would be ignored.
"""

import difflib
import re
from collections.abc import Iterator, Mapping

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from streams.runtime.store_settings import PREFIX

LIKE = 0.85
# Kubernetes adds these for each Service; the bootstrap Service of Strimzi begins with the prefix
OF_KUBERNETES = re.compile(r"(?:_SERVICE_(?:HOST|PORT\w*)|_PORT_\d+_\w+)\Z")
ADDRESS = re.compile(r"(?:tcp|udp|sctp)://.*")  # the value of Kubernetes' <SERVICE>_PORT


def misspelt(environment: Mapping[str, str], fields: Mapping[str, FieldInfo]) -> Iterator[str]:
    """Yield a line for each variable that resembles a setting and is none."""
    names = {f"{PREFIX}{name.upper()}": field for name, field in fields.items()}
    known = {*names, *(f"{name}_FILE" for name, field in names.items() if field.annotation is SecretStr)}
    for name in sorted(environment.keys() - known):
        # "LP": a misspelt prefix, too. Settings are read in any case.
        if name.startswith("LP") and name.upper() not in known and not _of_kubernetes(name, environment[name]):
            for like in difflib.get_close_matches(name.upper(), known, 1, LIKE):
                yield f"warning: {name} is no setting and is ignored; did you mean {like}?"


def _of_kubernetes(name: str, value: str) -> bool:
    is_port = name.endswith("_PORT") and ADDRESS.fullmatch(value) is not None
    return is_port or OF_KUBERNETES.search(name) is not None
