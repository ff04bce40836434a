"""Names written with placeholders, filled in from the caller without letting the caller's own words become more than
a part of a name. The rules are those of Herald's static mappings.
"""

import re
from collections.abc import Callable

from .request import Caller, PrincipalKind

_VALUES: dict[str, Callable[[Caller], str | None]] = {
    "AccountID": lambda caller: caller.account_id,
    "PermissionSet": lambda caller: caller.sso_permission_set,
    "PrincipalID": lambda caller: caller.principal_id,
    "RoleName": lambda caller: caller.name if caller.kind == PrincipalKind.ASSUMED_ROLE else None,
    "SessionName": lambda caller: caller.session_name and caller.session_name.replace("@", "-"),
    "SessionNameRaw": lambda caller: caller.session_name,
}
_NAME = re.compile(r"[A-Za-z0-9+=,.@_-]+")


class Unfit(Exception):
    """Why a template cannot be filled in for this caller.

    Deny on it: another rule must not catch what this one was meant for.
    """


class Template:
    """A username or group with `{{AccountID}}`, `{{PermissionSet}}`, `{{PrincipalID}}`, `{{RoleName}}`,
    `{{SessionName}}` (each `@` written as `-`) or `{{SessionNameRaw}}`.

    A value goes in only if it consists of letters, digits and `+=,.@_-`, and what comes out never begins with
    `system:` unless the operator wrote the whole name. Raises `ValueError` if `text` is no template.
    """

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or not text:
            raise ValueError("a name must not be empty")
        first, *rest = text.split("{{")
        self._parts = [(None, first)]
        for part in rest:
            name, closed, tail = part.partition("}}")
            if not closed:
                raise ValueError("a placeholder is not closed: {{ without }}")
            if name not in _VALUES:
                raise ValueError(f"unknown placeholder {{{{{name}}}}}, expected one of {' '.join(_VALUES)}")
            self._parts.append((name, tail))
        if rest and _is_reserved(text):
            raise ValueError("a name under system: must be written out, without placeholders")

    def render(self, caller: Caller) -> str:
        """The name for this caller. Raises `Unfit` if a value is missing or is not made of a name's characters."""
        name = "".join((_value(name, caller) if name else "") + text for name, text in self._parts)
        if len(self._parts) > 1 and _is_reserved(name):
            raise Unfit("the name would begin with system:")
        return name


def _value(name: str, caller: Caller) -> str:
    value = _VALUES[name](caller)
    if not value:
        raise Unfit(f"the caller has no {name}")
    if not _NAME.fullmatch(value):
        raise Unfit(f"the caller's {name} has a character outside letters, digits and +=,.@_-")
    return value


def _is_reserved(name: str) -> bool:
    """Kubernetes compares names by case, but people do not read them so."""
    return name[:7].lower() == "system:"
