"""Limits on wrong logins, and the role `metrics`."""

import pytest

from infra.tenants import Caller, Tenant
from streams.edge.http.errors import HttpError
from streams.edge.http.logins import Logins
from streams.edge.routes import PRIVATE
from streams.edge.studio.auth import Visitor


def test_wrong_tokens_lock_out_only_their_client() -> None:
    logins = Logins(3)
    for number in range(3):
        logins.check(b"one")
        logins.wrong(b"one", f"guess{number}")
    with pytest.raises(HttpError) as caught:
        logins.check(b"one")
    assert caught.value.status == 429 and caught.value.retry_after_s > 0
    logins.check(b"two")


def test_a_repeated_wrong_token_counts_once() -> None:
    logins = Logins(3)
    for _ in range(100):
        logins.wrong(b"one", "of last year")
    logins.check(b"one")


def test_a_limit_of_zero_locks_out_no_client() -> None:
    logins = Logins(0)
    for number in range(100):
        logins.wrong(b"one", f"\udcff{number}")
    logins.check(b"one")


def test_the_metrics_role_opens_only_metrics_and_probes() -> None:
    opened = {one.template for one in PRIVATE if not one.roles or "metrics" in one.roles}
    assert opened == {"/metrics", "/healthz", "/readyz"}
    visitor = Visitor(Caller(Tenant(id="a"), "metrics"), "session", ("token",))
    assert not visitor.may_ask and not visitor.may_look
