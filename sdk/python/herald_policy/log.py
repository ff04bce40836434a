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


def _write(level: str, message: object) -> None:
    # A line is never worth the decision: of what is no text, or none that can be handed over, a component would end.
    line = str(message).encode(errors="replace").decode()
    if _host is None:
        _kept.append((level, line))
    else:
        _host.log(_host.Level[level.upper()], line)


def debug(message: object) -> None:
    """For whoever writes the policy."""
    _write("debug", message)


def info(message: object) -> None:
    """Worth knowing when somebody asks why."""
    _write("info", message)


def warn(message: object) -> None:
    """Decided, but something is odd."""
    _write("warn", message)


def error(message: object) -> None:
    """Something is broken."""
    _write("error", message)
