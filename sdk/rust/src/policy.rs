//! The one trait that a policy implements, and the macro that makes a component of it.

use serde::de::DeserializeOwned;

use crate::{Decision, Fault, Request};

/// A policy: made once from the operator's settings, then asked once per login.
pub trait Policy: Sized + Send + Sync + 'static {
    /// What the operator may set. Derive [`serde::Deserialize`] with `deny_unknown_fields`, so that a
    /// typo is refused by name when the policy loads; `()`-like policies take an empty struct.
    type Settings: DeserializeOwned;

    /// Takes the settings, already read. What can be checked or computed once belongs here: it runs
    /// when the policy is loaded, not per login.
    ///
    /// # Errors
    ///
    /// The text is shown to the operator, and the policy does not load: name the setting and say
    /// what it should be.
    fn configure(settings: Self::Settings) -> Result<Self, String>;

    /// Answers one request. Nothing that a call changes may matter to a later one: the host uses a
    /// fresh instance for each.
    ///
    /// # Errors
    ///
    /// A [`Fault`] refuses the login, as a panic or a timeout does.
    fn decide(&self, request: &Request) -> Result<Decision, Fault>;
}

/// Exports a [`Policy`] as the component that Herald loads. Once per crate, of type `cdylib`.
///
/// In a native build it only checks that the type is a policy, so that its logic can be unit-tested
/// like any other code.
#[macro_export]
macro_rules! export {
    ($policy:ty) => {
        const _: () = {
            const fn is_a_policy<P: $crate::Policy>() {}
            is_a_policy::<$policy>();
        };
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            // No name that a policy may have: names of items are seen by what a macro is given.
            struct __HeraldComponent;
            static CONFIGURED: ::std::sync::OnceLock<$policy> = ::std::sync::OnceLock::new();
            impl $crate::bindings::Guest for __HeraldComponent {
                fn configure(settings: ::std::string::String) -> ::std::result::Result<(), ::std::string::String> {
                    $crate::component::configure(&CONFIGURED, &settings)
                }
                fn decide(
                    request: $crate::bindings::types::Request,
                ) -> ::std::result::Result<$crate::bindings::types::Decision, $crate::bindings::types::Fault> {
                    $crate::component::decide(&CONFIGURED, request)
                }
            }
    $crate::bindings::v0_1::export_component!(__HeraldComponent with_types_in $crate::bindings::v0_1);
        };
    };
}

/// Reads the settings and makes the policy.
pub(crate) fn load<P: Policy>(settings: &str) -> Result<P, String> {
    let settings = serde_json::from_str(settings).map_err(|error| without_position(&error))?;
    P::configure(settings)
}

/// The operator wrote YAML; a position in the JSON made of it would mislead.
fn without_position(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let position = [" at line ", &error.line().to_string(), " column ", &error.column().to_string()].concat();
    message.strip_suffix(&position).unwrap_or(&message).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        team: String,
    }

    #[derive(Debug)]
    struct Team(String);

    impl Policy for Team {
        type Settings = Settings;

        fn configure(settings: Settings) -> Result<Self, String> {
            if settings.team.is_empty() { Err("team must not be empty".to_owned()) } else { Ok(Self(settings.team)) }
        }

        fn decide(&self, _: &Request) -> Result<Decision, Fault> {
            Ok(Decision::Abstain)
        }
    }

    #[track_caller]
    fn check(settings: &str, expected: Result<&str, &str>) {
        let found = load::<Team>(settings).map(|team| team.0);
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn settings_are_read_strictly() {
        check(r#"{"team":"payments"}"#, Ok("payments"));
        check(r#"{"team":""}"#, Err("team must not be empty"));
        check("{}", Err("missing field `team`"));
        check(r#"{"taem":"payments"}"#, Err("unknown field `taem`, expected `team`"));
        check(r#"{"team":7}"#, Err("invalid type: integer `7`, expected a string"));
        check("", Err("EOF while parsing a value"));
    }
}
