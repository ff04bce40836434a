//! Does everything that the contract allows, on demand: the caller's session name says what. The same policy stands
//! beside this one in every other language.

use herald_policy::{
    Caller, Decision, Fault, Glob, Mapping, Policy, PrincipalKind, Request, Template, cloud, data, log,
};
use serde::Deserialize;

/// What the operator sets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    account: String,
    #[serde(default = "default_prefix")]
    prefix: String,
}

/// The policy, configured. `export!` takes a type of any name, and this is one that it might have taken itself.
#[derive(Debug)]
pub struct Component {
    settings: Settings,
    templates: Glob,
    template: Template,
}

fn default_prefix() -> String {
    "default:".to_owned()
}

// === impl Component ===

impl Policy for Component {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        let Settings { account, .. } = &settings;
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("account must be 12 digits ≠ “{account}”"));
        }
        let templates = "template*".parse().map_err(|_| "no pattern")?;
        let template = "{{AccountID}}:{{RoleName}}:{{SessionName}}".parse().map_err(|_| "no template")?;
        Ok(Self { settings, templates, template })
    }

    fn decide(&self, request: &Request) -> Result<Decision, Fault> {
        let caller = &request.caller;
        if caller.account_id != self.settings.account {
            return Ok(Decision::Abstain);
        }
        let word = caller.session_name.as_deref().unwrap_or(&caller.name);
        if let Some(count) = word.strip_prefix("many-") {
            let groups = (0..count.parse().unwrap_or_default()).map(|number: u32| self.name(&number.to_string()));
            return Ok(Mapping::named(self.name("many")).with_groups(groups).into());
        }
        if self.templates.matches(word) {
            return Ok(match self.template.render(caller) {
                Ok(username) => Mapping::named(username).into(),
                Err(why) => Decision::deny(why.to_string()),
            });
        }
        if let Some(key) = word.strip_prefix("table-") {
            return self.look_up(key);
        }
        match word {
            "broken" => Err(Fault::broken("broken ≠")),
            "crash" => panic!("crash, as asked"),
            "deny" => Ok(Decision::deny("denied: ≠ 許可 😀")),
            "full" => Ok(self.full().into()),
            "keep" => Ok(request
                .current
                .clone()
                .map_or(Decision::Abstain, |current| current.with_group(self.name("kept")).into())),
            "instance" => self.instance(),
            "later" => data::get("later", "a").map(|_| Decision::Abstain).map_err(Fault::from),
            "log" => {
                log::debug("debug é");
                log::info("info 許可");
                log::warn("warn 😀");
                log::error("error !");
                Ok(Decision::Abstain)
            }
            "missing" => Ok(missing()),
            "tags" => self.tags(),
            "tell" => Ok(self.tell(request).into()),
            "ungranted" => data::keys("other", "", 1).map(|_| Decision::Abstain).map_err(Fault::from),
            "unavailable" => Err(Fault::unavailable("unavailable ≠")),
            _ => Ok(Decision::Abstain),
        }
    }
}

impl Component {
    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.settings.prefix)
    }

    fn full(&self) -> Mapping {
        Mapping::named(self.name("full"))
            .with_uid("uid-ü")
            .with_groups(["équipe", "日本", "😀"].map(|group| self.name(group)))
            .with_extra("test/two", ["1", "2"])
            .with_extra("test/none", [""; 0])
            .with_extra("test/ü", ["é"])
    }

    fn instance(&self) -> Result<Decision, Fault> {
        let Some(instance) = cloud::caller_instance()? else { return Ok(Decision::deny("no machine")) };
        let cloud::Instance { id, private_dns_name, private_ip, zone, image_id, tags } = instance;
        let mapping = Mapping::named(self.name(&private_dns_name));
        let mapping = mapping.with_groups([id, private_ip, zone, image_id].map(|fact| self.name(&fact)));
        Ok(tags.into_iter().fold(mapping, |mapping, (key, value)| mapping.with_extra(key, [value])).into())
    }

    fn tags(&self) -> Result<Decision, Fault> {
        let Some(tags) = cloud::caller_tags()? else { return Ok(Decision::deny("no role or user")) };
        let mapping = Mapping::named(self.name("tags"));
        Ok(tags.into_iter().fold(mapping, |mapping, (key, value)| mapping.with_extra(key, [value])).into())
    }

    fn look_up(&self, key: &str) -> Result<Decision, Fault> {
        let like = data::keys("rota", key, 2)?;
        if data::version("rota")?.is_empty() {
            return Err(Fault::broken("no version"));
        }
        Ok(match data::get("rota", key)? {
            Some(value) => Mapping::named(self.name(&value)).with_groups(like.iter().map(|key| self.name(key))).into(),
            None => Decision::deny(format!("no such key; {} like it: {}", like.len(), like.join(", "))),
        })
    }

    fn tell(&self, request: &Request) -> Mapping {
        let Request { caller, cluster_id, now, current, trail } = request;
        let Caller { session_name, sso_permission_set, attributes, .. } = caller;
        let current = current.as_ref();
        let pairs = |pairs: &[(String, String)]| pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let lists = |lists: &[(String, Vec<String>)]| -> Vec<String> {
            lists.iter().map(|(key, values)| format!("{key}={}", values.join(","))).collect()
        };
        let facts: [(&str, Vec<String>); 22] = [
            ("provider", vec![caller.provider.clone()]),
            ("partition", vec![caller.partition.clone()]),
            ("accountId", vec![caller.account_id.clone()]),
            ("kind", vec![kind(caller.kind).to_owned()]),
            ("arn", vec![caller.arn.clone()]),
            ("canonicalArn", vec![caller.canonical_arn.clone()]),
            ("name", vec![caller.name.clone()]),
            ("principalId", vec![caller.principal_id.clone()]),
            ("sessionName", session_name.iter().cloned().collect()),
            ("ssoPermissionSet", sso_permission_set.iter().cloned().collect()),
            ("accessKeyId", vec![caller.access_key_id.clone()]),
            ("stsRegion", vec![caller.sts_region.clone()]),
            ("signedAt", vec![caller.signed_at.to_string()]),
            ("expiresAt", vec![caller.expires_at.to_string()]),
            ("attributes", pairs(attributes)),
            ("clusterId", vec![cluster_id.clone()]),
            ("now", vec![now.to_string()]),
            ("currentUsername", current.iter().map(|mapping| mapping.username.clone()).collect()),
            ("currentUid", current.iter().filter_map(|mapping| mapping.uid.clone()).collect()),
            ("currentGroups", current.iter().flat_map(|mapping| mapping.groups.clone()).collect()),
            ("currentExtra", current.map(|mapping| lists(&mapping.extra)).unwrap_or_default()),
            ("trail", trail.clone()),
        ];
        let mapping = Mapping::named(self.name("tell"));
        facts.into_iter().fold(mapping, |mapping, (key, values)| mapping.with_extra(key, values))
    }
}

fn missing() -> Decision {
    let asked = [
        ("get", data::get("other", "a").err()),
        ("keys", data::keys("other", "", 1).err()),
        ("version", data::version("other").err()),
    ];
    let refused = asked.into_iter().filter(|(_, error)| *error == Some(data::DataError::NotGranted));
    Decision::deny(format!("not attached: {}", refused.map(|(name, _)| name).collect::<Vec<_>>().join(", ")))
}

fn kind(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::AssumedRole => "assumed-role",
        PrincipalKind::FederatedUser => "federated-user",
        PrincipalKind::Other => "other",
        PrincipalKind::Root => "root",
        PrincipalKind::User => "user",
    }
}

herald_policy::export!(Component);
