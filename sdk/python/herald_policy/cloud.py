"""Facts about the caller, looked up with the host's cloud credentials, for `decide` alone.

The project has to ask for them: `capabilities = ["cloud"]` under `[tool.herald]` in `pyproject.toml`; they are there where the
operator grants them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import log
from .answer import Fault

try:
    from wit_world.imports import cloud as _host
except ImportError:
    _host = None

_WORDS = {
    "forbidden": "the host may not look that up about the caller",
    "not-granted": "this policy is not granted to know that about the caller: see `cloud`",
    "unavailable": "that cannot be looked up about the caller now",
}


@dataclass(frozen=True)
class Instance:
    """A virtual machine."""

    id: str = ""
    """`i-…`."""
    private_dns_name: str = ""
    """Empty if it has none."""
    private_ip: str = ""
    """Its primary private address."""
    zone: str = ""
    """The zone it runs in."""
    image_id: str = ""
    """The image it was started from."""
    tags: Mapping[str, str] = field(default_factory=dict)


class LookUpError(Exception):
    """Why something could not be looked up about the caller: `code` is `forbidden`, `not-granted` or `unavailable`.

    Not caught, it is the `Fault` that it is: `not-granted` is broken, the others are `unavailable`.
    """

    def __init__(self, code: str) -> None:
        super().__init__(_WORDS[code])
        self.code = code


_instance: Instance | str | None = "not-granted"
"""What unit tests see instead of the host's facts: a machine, none, or why it cannot be looked up."""
_tags: Mapping[str, str] | str | None = "not-granted"
"""Likewise."""


def caller_instance() -> Instance | None:
    """The machine that the caller's session name stands for, of the caller's own account; `None` if he is no machine."""
    if _host is None:
        return _set(_instance)
    found = _ask(_host.caller_instance)
    return None if found is None else Instance(**{**vars(found), "tags": dict(found.tags)})


def caller_tags() -> Mapping[str, str] | None:
    """The tags of the role or user behind the caller; `None` if he is neither, or it is not there any more.

    Those of his session are not among them.
    """
    if _host is None:
        return _set(_tags)
    found = _ask(_host.caller_tags)
    return None if found is None else dict(found)


def _set(found: Any) -> Any:
    if log.is_in_component():
        raise Fault('this policy asks for no facts: it needs capabilities = ["cloud"] under [tool.herald] in pyproject.toml')
    if isinstance(found, str):
        raise LookUpError(found)
    return found


def _ask(look_up: Callable[[], Any]) -> Any:
    from componentize_py_types import Err

    try:
        return look_up()
    except Err as error:
        code = error.value.name.lower().replace("_", "-")
        if code == "not-found":
            return None
        raise LookUpError(code) from error
