"""The policy beside this one in Rust, in Python."""

import re
from typing import Any

import herald_policy
from herald_policy import Abstain, Allow, Decision, Deny, Fault, Glob, Request, Template, Unfit, cloud, data, log


class Policy(herald_policy.Policy):
    def __init__(self, settings: dict[str, Any]) -> None:
        self.account = settings["account"]
        if not re.fullmatch("[0-9]{12}", self.account):
            raise ValueError(f"account must be 12 digits ≠ “{self.account}”")
        self.prefix = settings.get("prefix", "default:")
        self.templates = Glob("template*")
        self.template = Template("{{AccountID}}:{{RoleName}}:{{SessionName}}")

    def decide(self, request: Request) -> Decision:
        caller = request.caller
        if caller.account_id != self.account:
            return Abstain()
        word = caller.name if caller.session_name is None else caller.session_name
        if word.startswith("many-"):
            groups = [self.name(number) for number in range(int(word.removeprefix("many-")))]
            return Allow(self.name("many"), groups=groups)
        if self.templates.matches(word):
            try:
                return Allow(self.template.render(caller))
            except Unfit as why:
                return Deny(str(why))
        if word.startswith("table-"):
            return self.look_up(word.removeprefix("table-"))
        match word:
            case "broken":
                raise Fault("broken ≠")
            case "crash":
                raise RuntimeError("crash, as asked")
            case "deny":
                return Deny("denied: ≠ 許可 😀")
            case "full":
                return self.full()
            case "instance":
                return self.instance()
            case "keep" if request.current is not None:
                before = request.current
                groups = [*before.groups, self.name("kept")]
                return Allow(before.username, before.uid, groups, before.extra)
            case "later":
                data.get("later", "a")
            case "log":
                log.debug("debug é")
                log.info("info 許可")
                log.warn("warn 😀")
                log.error("error !")
            case "missing":
                return self.missing()
            case "tags":
                return self.tags()
            case "tell":
                return self.tell(request)
            case "ungranted":
                data.keys("other")
            case "unavailable":
                raise Fault("unavailable ≠", unavailable=True)
        return Abstain()

    def name(self, name: str | int) -> str:
        return f"{self.prefix}{name}"

    def full(self) -> Decision:
        groups = [self.name(group) for group in ("équipe", "日本", "😀")]
        return Allow(
            self.name("full"), "uid-ü", groups, {"test/two": ["1", "2"], "test/none": [], "test/ü": ["é"]}
        )

    def instance(self) -> Decision:
        found = cloud.caller_instance()
        if found is None:
            return Deny("no machine")
        facts = (found.id, found.private_ip, found.zone, found.image_id)
        tags = {key: [value] for key, value in found.tags.items()}
        return Allow(self.name(found.private_dns_name), groups=[self.name(fact) for fact in facts], extra=tags)

    def tags(self) -> Decision:
        found = cloud.caller_tags()
        if found is None:
            return Deny("no role or user")
        return Allow(self.name("tags"), extra={key: [value] for key, value in found.items()})

    def look_up(self, key: str) -> Decision:
        like = data.keys("rota", key, 2)
        if not data.version("rota"):
            raise Fault("no version")
        value = data.get("rota", key)
        if value is None:
            return Deny(f"no such key; {len(like)} like it: {', '.join(like)}")
        return Allow(self.name(value), groups=[self.name(key) for key in like])

    def missing(self) -> Decision:
        refused = []
        for ask, arguments in ((data.get, ("other", "a")), (data.keys, ("other",)), (data.version, ("other",))):
            try:
                ask(*arguments)
            except data.DataError as error:
                if error.ready:
                    refused.append(ask.__name__)
        return Deny(f"not attached: {', '.join(refused)}")

    def tell(self, request: Request) -> Decision:
        caller, current = request.caller, request.current

        def some(value: str | None) -> list[str]:
            return [] if value is None else [value]

        return Allow(
            self.name("tell"),
            extra={
                "provider": [caller.provider],
                "partition": [caller.partition],
                "accountId": [caller.account_id],
                "kind": [caller.kind.name.lower().replace("_", "-")],
                "arn": [caller.arn],
                "canonicalArn": [caller.canonical_arn],
                "name": [caller.name],
                "principalId": [caller.principal_id],
                "sessionName": some(caller.session_name),
                "ssoPermissionSet": some(caller.sso_permission_set),
                "accessKeyId": [caller.access_key_id],
                "stsRegion": [caller.sts_region],
                "signedAt": [str(caller.signed_at)],
                "expiresAt": [str(caller.expires_at)],
                "attributes": [f"{key}={value}" for key, value in caller.attributes.items()],
                "clusterId": [request.cluster_id],
                "now": [str(request.now)],
                "currentUsername": some(current and current.username),
                "currentUid": some(current and current.uid),
                "currentGroups": list(current.groups) if current else [],
                "currentExtra": [f"{key}={','.join(values)}" for key, values in current.extra.items()]
                if current
                else [],
                "trail": list(request.trail),
            },
        )
