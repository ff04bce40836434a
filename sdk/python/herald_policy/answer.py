"""What a policy answers: a decision about the caller, or the fault that kept it from one."""

import collections.abc
from dataclasses import dataclass, field


def text(value: object, what: str) -> str:
    """`value`, if the contract has such a text: of anything else a component would end without a word.

    Raises `TypeError`, or `ValueError` for a half of a character.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a string, not {type(value).__name__}")
    value.encode()
    return value


def _texts(values: collections.abc.Iterable[str], what: str) -> tuple[str, ...]:
    # A string is a sequence too, of its letters.
    if isinstance(values, str):
        raise TypeError(f"{what} must be a list of strings, not a string")
    return tuple(text(value, what) for value in values)


@dataclass(frozen=True)
class Abstain:
    """No opinion: the next stage is asked."""


@dataclass(frozen=True)
class Allow:
    """From here on the caller is this."""

    username: str
    """Never empty. Under `system:` only if the operator's ceiling names it."""
    uid: str | None = None
    """`None`: the host's own uid for the caller."""
    groups: collections.abc.Sequence[str] = ()
    """In order. The same rule about `system:` holds for each."""
    extra: collections.abc.Mapping[str, collections.abc.Sequence[str]] = field(default_factory=dict)
    """Extra keys with their values; the host's own keys are refused."""

    def __post_init__(self) -> None:
        text(self.username, "username")
        if self.uid is not None:
            text(self.uid, "uid")
        # One form, so that equal answers compare equal.
        object.__setattr__(self, "groups", _texts(self.groups, "groups"))
        extra = {text(key, "extra"): _texts(values, f"extra.{key}") for key, values in self.extra.items()}
        object.__setattr__(self, "extra", extra)


@dataclass(frozen=True)
class Deny:
    """Final: the login is refused. The text goes to the audit log, never to the caller."""

    why: str

    def __post_init__(self) -> None:
        text(self.why, "why")


Decision = Abstain | Allow | Deny
"""What a policy says about a caller."""


class Fault(Exception):
    """Why a policy could not decide. Refuses the login; it never counts as `Abstain`.

    `unavailable=True`: something outside the policy is missing or slow, and the API server is told to try again.
    Otherwise the policy or its settings are broken, and it does not try again by itself.
    """

    def __init__(self, why: str, *, unavailable: bool = False) -> None:
        super().__init__(why)
        self.unavailable = unavailable
