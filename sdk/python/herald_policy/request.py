"""What a policy is asked: the verified caller and the facts of this login."""

from collections.abc import Mapping as ReadOnly
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class PrincipalKind(Enum):
    """What kind of principal the cloud says the caller is."""

    ROOT = 0
    """The account itself."""
    USER = 1
    """A long-lived IAM or RAM user."""
    ASSUMED_ROLE = 2
    """A role session."""
    FEDERATED_USER = 3
    """A federated user session."""
    OTHER = 4
    """Anything this version of the contract has no word for; read `arn`."""


@dataclass
class Caller:
    """A caller whose token the cloud has verified.

    All fields but the session's name and a federated user's, which are also the end of `arn`, are the cloud's own words or the host's.
    """

    provider: str
    """`aws` or `alibaba`. Abstain or deny when it is a name you do not know."""
    partition: str
    """`aws`, `aws-cn`, `aws-us-gov`, … for AWS; `acs` for Alibaba Cloud."""
    account_id: str
    """12 digits (AWS) or 16 (Alibaba Cloud). Callers of every account arrive verified: look here first."""
    kind: PrincipalKind
    """What kind of principal it is."""
    arn: str
    """The ARN exactly as the cloud returned it."""
    canonical_arn: str
    """The ARN that mappings name: a session becomes the role behind it."""
    name: str
    """User or role name without its path; empty for `ROOT`, and chosen by the caller for a `FEDERATED_USER`."""
    principal_id: str
    """The principal's stable unique id; of a `FEDERATED_USER` its account and name."""
    session_name: str | None
    """The role session's name, chosen by the caller."""
    sso_permission_set: str | None
    """The AWS IAM Identity Center permission set that made the role."""
    access_key_id: str
    """The key that signed the token."""
    sts_region: str
    """Region of the STS endpoint that vouched; empty for a global one."""
    signed_at: int
    """When the token was signed, in seconds since 1970-01-01T00:00:00Z."""
    expires_at: int
    """When the token stops being valid, in seconds since 1970-01-01T00:00:00Z."""
    attributes: ReadOnly[str, str]
    """Facts that only some providers have. Ignore names that you do not know."""


@dataclass
class Mapping:
    """A Kubernetes identity as the stages before this policy left it."""

    username: str
    uid: str | None
    groups: Sequence[str]
    extra: ReadOnly[str, Sequence[str]]


@dataclass
class Request:
    """One question: who is this caller in the cluster?"""

    caller: Caller
    """The verified caller."""
    cluster_id: str
    """This cluster's id, the one the token was signed for."""
    now: int
    """The only clock there is: seconds since 1970-01-01T00:00:00Z."""
    current: Mapping | None
    """What the stages before this one decided; `None` if nobody has mapped the caller yet."""
    trail: Sequence[str]
    """Names of the stages that made or changed `current`, oldest first."""
