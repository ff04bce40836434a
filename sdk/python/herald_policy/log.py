"""Lines for the audit record of this login."""

try:
    from wit_world.imports import log as _host
except ModuleNotFoundError:
    _host = None

_kept: list[tuple[str, str]] = []
"""What unit tests see instead of the host's log: level and text."""


def is_in_component() -> bool:
    """Whether this is no unit test: every component asks for the log."""
    return _host is not None


def _write(level: str, message: str) -> None:
    if _host is None:
        _kept.append((level, message))
    else:
        _host.log(_host.Level[level.upper()], message)


def debug(message: str) -> None:
    """For whoever writes the policy."""
    _write("debug", message)


def info(message: str) -> None:
    """Worth knowing when somebody asks why."""
    _write("info", message)


def warn(message: str) -> None:
    """Decided, but something is odd."""
    _write("warn", message)


def error(message: str) -> None:
    """Something is broken."""
    _write("error", message)
