"""Tables that the operator attaches under names, for `decide` alone.

The project has to ask for them: `capabilities = ["data"]` under `[tool.herald]` in `pyproject.toml`.
"""

from typing import Any

from . import log
from .answer import Fault, text

try:
    from wit_world.imports import data as _host
except ImportError:
    _host = None

_MAX_KEYS = 4096
"""Most keys that one call returns."""
_MAX_LIMIT = 0xFFFF_FFFF
"""The largest number that the contract has for a limit."""

_tables: dict[str, dict[str, str] | None] = {}
"""What unit tests see instead of the host's tables; `None`: attached, and not loaded yet."""


class DataError(Exception):
    """Why a table could not be read. `ready` is false if it is attached, but was never loaded yet.

    Not caught, it is the `Fault` that it is: `unavailable` without `ready`, else broken.
    """

    def __init__(self, table: str, *, ready: bool = True) -> None:
        super().__init__(f"the table {table} is {'not attached to this policy' if ready else 'not loaded yet'}")
        self.ready = ready


def get(table: str, key: str) -> str | None:
    """The value of one key; `None` if it is not there."""
    text(key, "key")
    return _table(table).get(key) if _host is None else _ask(table, _host.get, key)


def keys(table: str, prefix: str = "", limit: int = 1000) -> list[str]:
    """The keys that start with `prefix`, sorted, at most `limit` of them.

    One call gives 4096 at most: a larger `limit` where there are more keys than that ends the decision as a fault, so that nobody
    takes a part of a list for all of it. In unit tests it is a `RuntimeError`. A `limit` that is no whole number from 0 to 4294967295
    is a `ValueError`.
    """
    text(prefix, "prefix")
    if not isinstance(limit, int) or not 0 <= limit <= _MAX_LIMIT:
        raise ValueError(f"limit must be a whole number from 0 to {_MAX_LIMIT}, not {limit!r}")
    if _host is not None:
        return _ask(table, _host.keys, prefix, limit)
    found = sorted(key for key in _table(table) if key.startswith(prefix))[:limit]
    if len(found) > _MAX_KEYS:
        raise RuntimeError(f"more than {_MAX_KEYS} keys of {table} are asked for: a host ends the decision")
    return found


def version(table: str) -> str:
    """Digest of the table's content, for the log."""
    return f"test-{len(_table(table))}" if _host is None else _ask(table, _host.version)


def _table(name: str) -> dict[str, str]:
    if log.is_in_component():
        raise Fault('this policy asks for no tables: it needs capabilities = ["data"] under [tool.herald] in pyproject.toml')
    if name not in _tables:
        raise DataError(name)
    entries = _tables[name]
    if entries is None:
        raise DataError(name, ready=False)
    return entries


def _ask(table: str, function: Any, *arguments: Any) -> Any:
    from componentize_py_types import Err

    try:
        return function(table, *arguments)
    except Err as error:
        raise DataError(table, ready=error.value.name != "NOT_READY") from error
