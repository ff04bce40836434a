"""What a policy is made of: requests, decisions, faults, templates, patterns, tables, facts and the log."""

from . import cloud, data, log
from .answer import Abstain, Allow, Decision, Deny, Fault
from .glob import Glob
from .policy import Policy
from .request import Caller, Mapping, PrincipalKind, Request
from .template import Template, Unfit

__all__ = [
    "Abstain",
    "Allow",
    "Caller",
    "Decision",
    "Deny",
    "Fault",
    "Glob",
    "Mapping",
    "Policy",
    "PrincipalKind",
    "Request",
    "Template",
    "Unfit",
    "cloud",
    "data",
    "log",
]
