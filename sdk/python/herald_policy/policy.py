"""The one class that a policy derives from."""

from abc import ABC, abstractmethod
from typing import Any

from .answer import Decision
from .request import Request


class Policy(ABC):
    """A policy: made once from the operator's settings, then asked once per login."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Takes the settings, already parsed. What can be checked or computed once belongs here.

        What it raises keeps the policy from loading, and its text is shown to the operator: name the setting and say
        what it should be.
        """

    @abstractmethod
    def decide(self, request: Request) -> Decision:
        """Answers one request. Nothing that a call changes may matter to a later one.

        A `Fault` that it raises refuses the login, and so does every other exception.
        """
