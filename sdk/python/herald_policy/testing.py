"""For a policy's own unit tests: callers made by hand, and what the policy logged."""

from collections.abc import Mapping

from . import cloud, data, log
from .request import Caller, PrincipalKind, Request

NOW = 1_767_225_600
"""The moment of every request made here: 2026-01-01T00:00:00Z."""


def session(account_id: str, role: str, session_name: str) -> Request:
    """The request of an AWS role session. Nobody has mapped the caller yet; every field may be changed."""
    request = user(account_id, role)
    caller = request.caller
    caller.kind = PrincipalKind.ASSUMED_ROLE
    caller.arn = f"arn:aws:sts::{account_id}:assumed-role/{role}/{session_name}"
    caller.canonical_arn = f"arn:aws:iam::{account_id}:role/{role}"
    caller.principal_id = "AROAEXAMPLEEXAMPLE000"
    caller.session_name = session_name
    return request


def user(account_id: str, name: str) -> Request:
    """The request of an AWS IAM user. Nobody has mapped the caller yet; every field may be changed."""
    arn = f"arn:aws:iam::{account_id}:user/{name}"
    caller = Caller(
        provider="aws",
        partition="aws",
        account_id=account_id,
        kind=PrincipalKind.USER,
        arn=arn,
        canonical_arn=arn,
        name=name,
        principal_id="AIDAEXAMPLEEXAMPLE000",
        session_name=None,
        sso_permission_set=None,
        access_key_id="AKIAIOSFODNN7EXAMPLE",
        sts_region="us-east-1",
        signed_at=NOW - 60,
        expires_at=NOW + 840,
        attributes={},
    )
    return Request(caller=caller, cluster_id="test.example.com", now=NOW, current=None, trail=())


def logged() -> list[tuple[str, str]]:
    """What policies have logged since this was last asked, as level and text."""
    lines = log._kept[:]
    log._kept.clear()
    return lines


def set_table(name: str, entries: dict[str, str]) -> None:
    """Attaches a table, in place of one of that name."""
    data._tables[name] = dict(entries)


def set_not_ready(name: str) -> None:
    """Attaches a table that is not loaded yet, in place of one of that name."""
    data._tables[name] = None


def set_instance(found: cloud.Instance | str | None) -> None:
    """What `cloud.caller_instance` finds from now on: a machine, none, or the code of a `LookUpError`."""
    cloud._instance = found


def set_tags(found: Mapping[str, str] | str | None) -> None:
    """What `cloud.caller_tags` finds from now on: tags, none, or the code of a `LookUpError`."""
    cloud._tags = found
