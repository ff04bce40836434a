//! Chains of profiles, and which part of them is ours.

use aws_config::profile;
use aws_types::os_shim_internal::{Env, Fs};

use super::*;

const FILE: &str = "
[default]
region = eu-west-1
[profile keys]
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key = secret
[profile plain]
role_arn = arn:aws:iam::123456789012:role/Plain
source_profile = keys
[profile coded]
role_arn = arn:aws:iam::123456789012:role/Coded
source_profile = plain
mfa_serial = arn:aws:iam::123456789012:mfa/bob
role_session_name = bob
external_id = x
duration_seconds = 7200
[profile onward]
role_arn = arn:aws:iam::123456789012:role/Onward
source_profile = coded
[profile own]
role_arn = arn:aws:iam::123456789012:role/Own
source_profile = own
mfa_serial = 12345678
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key = secret
[profile lasting]
role_arn = arn:aws:iam::123456789012:role/Lasting
source_profile = lasting
mfa_serial = 12345678
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key = secret
aws_session_token =
[profile emptied]
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key = secret
aws_session_token =
[profile next]
role_arn = arn:aws:iam::123456789012:role/Next
source_profile = emptied
[profile after]
role_arn = arn:aws:iam::123456789012:role/After
source_profile = next
[profile itself]
role_arn = arn:aws:iam::123456789012:role/Itself
source_profile = itself
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key = secret
aws_session_token =
[profile lost]
role_arn = arn:aws:iam::123456789012:role/Lost
source_profile = nowhere
mfa_serial = 12345678
[profile a]
role_arn = arn:aws:iam::123456789012:role/A
source_profile = b
mfa_serial = 12345678
[profile b]
role_arn = arn:aws:iam::123456789012:role/B
source_profile = a
[profile placed]
role_arn = arn:aws:iam::123456789012:role/Placed
credential_source = ec2InstanceMetadata
mfa_serial = 12345678
[profile behind]
role_arn = arn:aws:iam::123456789012:role/Behind
source_profile = placed
[profile unasked]
role_arn = arn:aws:iam::123456789012:role/Unasked
credential_source = Environment
[profile elsewhere]
role_arn = arn:aws:iam::123456789012:role/Elsewhere
credential_source = Elsewhere
mfa_serial = 12345678
[profile no-role]
mfa_serial = 12345678
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key = secret
";

async fn plan(name: &str) -> Option<Plan> {
    let env = Env::from_slice(&[("HOME", "/home/bob")]);
    let files = Fs::from_slice(&[("/home/bob/.aws/config", FILE)]);
    Plan::of(&profile::load(&files, &env, &Default::default(), None).await.expect("it parses"), name)
}

#[track_caller]
fn check(plan: Option<Plan>, source: &str, steps: &[(&str, Option<&str>, u64)]) {
    let plan = plan.expect("a plan");
    let found = match &plan.source {
        Source::Profile(name) => name.clone(),
        Source::Keys { id, session_token, .. } => {
            assert_eq!(*session_token, None, "an empty one is none");
            id.clone()
        }
        Source::Place(place) => format!("{place:?}"),
    };
    assert_eq!(found, source);
    let found = plan.steps.iter().map(|step| (step.role.arn.name(), step.device.as_deref(), step.duration.as_secs()));
    let found: Vec<_> = found.collect();
    assert_eq!(found, steps);
}

#[tokio::test]
async fn the_part_from_the_innermost_device_on_is_ours() {
    let device = Some("arn:aws:iam::123456789012:mfa/bob");
    check(plan("coded").await, "plain", &[("Coded", device, 7200)]);
    check(plan("onward").await, "plain", &[("Coded", device, 7200), ("Onward", None, 3600)]);
    check(plan("own").await, "AKIDEXAMPLE", &[("Own", Some("12345678"), 3600)]);
    check(plan("lasting").await, "AKIDEXAMPLE", &[("Lasting", Some("12345678"), 3600)]);
    check(plan("lost").await, "nowhere", &[("Lost", Some("12345678"), 3600)]);
    check(plan("placed").await, "Instance", &[("Placed", Some("12345678"), 3600)]);
    check(plan("behind").await, "Instance", &[("Placed", Some("12345678"), 3600), ("Behind", None, 3600)]);
}

/// The SDK would sign the first AssumeRole with the empty token.
#[tokio::test]
async fn all_roles_behind_keys_with_an_empty_session_token_are_ours() {
    check(plan("next").await, "emptied", &[("Next", None, 3600)]);
    check(plan("after").await, "emptied", &[("Next", None, 3600), ("After", None, 3600)]);
    check(plan("itself").await, "AKIDEXAMPLE", &[("Itself", None, 3600)]);
}

#[tokio::test]
async fn everything_else_stays_the_sdks() {
    for name in ["default", "keys", "emptied", "plain", "a", "b", "unasked", "elsewhere", "no-role", "nobody"] {
        let found = plan(name).await;
        assert!(found.is_none(), "{name}: {found:?}");
    }
}

#[tokio::test]
async fn a_role_is_assumed_as_its_profile_says() {
    let plan = plan("coded").await.expect("a plan");
    let role = &plan.steps[0].role;
    assert_eq!((role.session_name.as_deref(), role.external_id.as_deref()), (Some("bob"), Some("x")));
}
