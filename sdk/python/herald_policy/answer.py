"""What a policy answers: a decision about the caller, or the fault that kept it from one."""

import collections.abc
from dataclasses import dataclass, field


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
        # One form, so that equal answers compare equal. A string is a sequence too, of its letters.
        for name, values in [("groups", self.groups), *self.extra.items()]:
            if isinstance(values, str):
                raise TypeError(f"{name} must be a list of strings, not a string")
        object.__setattr__(self, "groups", tuple(self.groups))
        object.__setattr__(self, "extra", {key: tuple(values) for key, values in self.extra.items()})


@dataclass(frozen=True)
class Deny:
    """Final: the login is refused. The text goes to the audit log, never to the caller."""

    why: str


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
