//! The text that a scrape gets, as a golden file.

use std::collections::BTreeSet;

use expect_test::expect;

use super::*;

/// Whoever looks for a metric finds what it is, and whoever reads of one finds it.
#[test]
fn the_page_of_metrics_has_every_one_and_no_other() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/deploy/metrics.md");
    let page = std::fs::read_to_string(page).expect("a page");
    let words = page.split('`').skip(1).step_by(2).filter_map(|word| word.split('{').next());
    let words = words.filter(|word| word.starts_with("herald_") && !word.contains(char::is_whitespace));
    let base = |name: &str| {
        ["_total", "_info"].iter().fold(name.to_owned(), |name, end| match name.strip_suffix(end) {
            Some(base) => base.to_owned(),
            None => name,
        })
    };
    let told: BTreeSet<String> = words.map(base).collect();
    // A scrape has no word of a metric before its first event.
    let code = [include_str!("../metrics.rs"), include_str!("compiled.rs")].concat();
    let registered = |call: &str, unit: &str| -> Vec<String> {
        let names = code.split(call).skip(1).filter_map(|rest| rest.split('"').nth(1));
        names.map(|name| base(&format!("{PREFIX}_{name}{unit}"))).collect()
    };
    let there = [registered("own.register(", ""), registered("own.register_with_unit(", "_seconds")];
    let there: BTreeSet<String> = there.into_iter().flatten().collect();
    assert_eq!(told, there);
    assert!(there.len() > 30, "{there:?}");
}

#[test]
fn text_is_stable() {
    let metrics = Metrics::default();
    let took = Duration::from_micros(700);
    metrics.decision("aws", "allowed", "ok", took);
    metrics.sts_request("eu-west-1", "ok", took);
    metrics.sts_cache("hit");
    metrics.policy("oncall", "allow", Duration::from_micros(24), 120_000);
    metrics.shadow("oncall", "different");
    metrics.audit_dropped("denied");
    metrics.compiled_policy_ignored("torn");
    metrics.config_loaded("0a", SystemTime::UNIX_EPOCH);
    metrics.config_loaded("0b", SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    metrics.connection_opened();
    metrics.connection_cut("idle");
    metrics.review_started();
    metrics.rejected("too_large");
    let text = metrics.text();
    // Series of one name have no order.
    let is_zero = |line: &str| line.contains('{') && line.ends_with(" 0");
    let own = text.lines().filter(|line| line.contains("herald_") && !line.contains("_bucket{") && !is_zero(line));
    let own = own.collect::<Vec<_>>();
    expect![[r##"
        # HELP herald_build What this process is.
        # TYPE herald_build info
        herald_build_info{version="0.1.0"} 1
        # HELP herald_audit_dropped Audit lines left out: the queue was full, or denials came too often.
        # TYPE herald_audit_dropped counter
        herald_audit_dropped_total{outcome="denied"} 1
        # HELP herald_audit_write_errors Failed writes of audit lines.
        # TYPE herald_audit_write_errors counter
        herald_audit_write_errors_total 0
        # HELP herald_certificate_end_timestamp_seconds When the certificate in force ends; 0 if that is not known.
        # TYPE herald_certificate_end_timestamp_seconds gauge
        # UNIT herald_certificate_end_timestamp_seconds seconds
        herald_certificate_end_timestamp_seconds 0.0
        # HELP herald_compiled_policies_ignored Compiled policies that were there and not used.
        # TYPE herald_compiled_policies_ignored counter
        herald_compiled_policies_ignored_total{reason="torn"} 1
        # HELP herald_compiled_policies_not_kept 1 if compiled policies cannot be kept, so that each start compiles them again.
        # TYPE herald_compiled_policies_not_kept gauge
        herald_compiled_policies_not_kept 0
        # HELP herald_config_info Digest of the configuration in force.
        # TYPE herald_config_info gauge
        herald_config_info{generation="0b"} 1
        # HELP herald_config_last_reload_successful 1 if the last attempt to load the configuration worked.
        # TYPE herald_config_last_reload_successful gauge
        herald_config_last_reload_successful 1
        # HELP herald_config_last_reload_success_timestamp_seconds When the configuration in force was loaded.
        # TYPE herald_config_last_reload_success_timestamp_seconds gauge
        # UNIT herald_config_last_reload_success_timestamp_seconds seconds
        herald_config_last_reload_success_timestamp_seconds 1700000000.0
        # HELP herald_connections Open connections.
        # TYPE herald_connections gauge
        herald_connections 1
        # HELP herald_connections_closed Connections that the server closed, or that broke.
        # TYPE herald_connections_closed counter
        herald_connections_closed_total{reason="idle"} 1
        # HELP herald_decisions Decisions about tokens.
        # TYPE herald_decisions counter
        herald_decisions_total{provider="aws",outcome="allowed",reason="ok"} 1
        # HELP herald_decision_duration_seconds Time from a token to its decision.
        # TYPE herald_decision_duration_seconds histogram
        # UNIT herald_decision_duration_seconds seconds
        herald_decision_duration_seconds_sum{outcome="allowed"} 0.0007
        herald_decision_duration_seconds_count{outcome="allowed"} 1
        # HELP herald_ec2_instances Instances asked for in calls to EC2.
        # TYPE herald_ec2_instances counter
        herald_ec2_instances_total 0
        # HELP herald_ec2_request_duration_seconds Time of one call to EC2, all its pages.
        # TYPE herald_ec2_request_duration_seconds histogram
        # UNIT herald_ec2_request_duration_seconds seconds
        herald_ec2_request_duration_seconds_sum 0.0
        herald_ec2_request_duration_seconds_count 0
        # HELP herald_iam_request_duration_seconds Time of one call to IAM.
        # TYPE herald_iam_request_duration_seconds histogram
        # UNIT herald_iam_request_duration_seconds seconds
        herald_iam_request_duration_seconds_sum 0.0
        herald_iam_request_duration_seconds_count 0
        # HELP herald_in_flight Token reviews under way.
        # TYPE herald_in_flight gauge
        herald_in_flight 1
        # HELP herald_policies_compiling Policies whose newest version is being compiled, the last good in force.
        # TYPE herald_policies_compiling gauge
        herald_policies_compiling 0
        # HELP herald_policy_evaluations Answers and faults of policies.
        # TYPE herald_policy_evaluations counter
        herald_policy_evaluations_total{policy="oncall",result="allow"} 1
        # HELP herald_policy_fuel Fuel that policies used.
        # TYPE herald_policy_fuel counter
        herald_policy_fuel_total{policy="oncall"} 120000
        # HELP herald_policy_duration_seconds Time in a policy, with the wait for a thread and an instance.
        # TYPE herald_policy_duration_seconds histogram
        # UNIT herald_policy_duration_seconds seconds
        herald_policy_duration_seconds_sum{policy="oncall"} 0.000024
        herald_policy_duration_seconds_count{policy="oncall"} 1
        # HELP herald_policy_shadows Logins compared with policies in shadow mode.
        # TYPE herald_policy_shadows counter
        herald_policy_shadows_total{policy="oncall",result="different"} 1
        # HELP herald_rejected_requests Requests that never became a decision.
        # TYPE herald_rejected_requests counter
        herald_rejected_requests_total{reason="too_large"} 1
        # HELP herald_sts_cache Look-ups among verified callers.
        # TYPE herald_sts_cache counter
        herald_sts_cache_total{result="hit"} 1
        # HELP herald_sts_requests Requests to STS.
        # TYPE herald_sts_requests counter
        herald_sts_requests_total{region="eu-west-1",result="ok"} 1
        # HELP herald_sts_request_duration_seconds Time of one STS request.
        # TYPE herald_sts_request_duration_seconds histogram
        # UNIT herald_sts_request_duration_seconds seconds
        herald_sts_request_duration_seconds_sum{region="eu-west-1"} 0.0007
        herald_sts_request_duration_seconds_count{region="eu-west-1"} 1
        # HELP herald_webhook_kubeconfig_distrusted 1 if the webhook kubeconfig on this machine does not trust the certificate in force.
        # TYPE herald_webhook_kubeconfig_distrusted gauge
        herald_webhook_kubeconfig_distrusted 0"##]]
    .assert_eq(&own.join("\n"));
    assert!(text.contains(r#"herald_decision_duration_seconds_bucket{le="0.001",outcome="allowed"} 1"#), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

/// One that begins with its first event has not risen for whoever compares two scrapes.
#[test]
fn what_alerts_compare_is_there_before_it_happens() {
    let metrics = Metrics::default();
    metrics.source_vital("EKSConfigMap", "nodes", 1);
    let text = metrics.text();
    for counter in [
        "herald_audit_dropped_total{outcome=\"allowed\"}",
        "herald_audit_dropped_total{outcome=\"denied\"}",
        "herald_audit_write_errors_total",
        "herald_connections_closed_total{reason=\"untrusted\"}",
        "herald_source_losses_total{source=\"EKSConfigMap\",whom=\"nodes\"}",
    ] {
        assert!(text.contains(&format!("{counter} 0\n")), "{counter}: {text}");
    }
    metrics.source_lost("EKSConfigMap", "nodes");
    metrics.source_vital("EKSConfigMap", "nodes", 0);
    let text = metrics.text();
    assert!(text.contains("herald_source_losses_total{source=\"EKSConfigMap\",whom=\"nodes\"} 1\n"), "{text}");
}

/// A timeout of STS, five seconds where nobody says otherwise, ends a little later.
#[test]
fn timeouts_are_told_from_what_hangs() {
    let metrics = Metrics::default();
    metrics.decision("aws", "unavailable", "sts_unavailable", Duration::from_millis(5002));
    metrics.sts_request("", "sts_unavailable", Duration::from_millis(5001));
    let text = metrics.text();
    for bucket in [
        "herald_decision_duration_seconds_bucket{le=\"10.0\",outcome=\"unavailable\"} 1",
        "herald_sts_request_duration_seconds_bucket{le=\"10.0\",region=\"global\"} 1",
    ] {
        assert!(text.contains(bucket), "{bucket}: {text}");
    }
}

#[test]
fn empty_names_are_spelt_out() {
    let metrics = Metrics::default();
    metrics.decision("", "denied", "foreign", Duration::from_micros(3));
    metrics.sts_request("", "sts_throttled", Duration::from_millis(3));
    let text = metrics.text();
    for line in [
        r#"herald_decisions_total{provider="none",outcome="denied",reason="foreign"} 1"#,
        r#"herald_sts_requests_total{region="global",result="sts_throttled"} 1"#,
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn process_metrics_are_there_on_linux() {
    let text = Metrics::default().text();
    for name in [
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "process_start_time_seconds 1",
        "process_cpu_seconds_total ",
    ] {
        assert!(text.contains(name), "{name}: {text}");
    }
}

#[test]
fn names_are_bounded() {
    let names = Names::default();
    for index in 0..2 * MAX_NAMES {
        names.name(&index.to_string());
    }
    assert_eq!(&*names.name("0").0, "0");
    assert_eq!(&*names.name("another").0, "other");
    assert!(names.0.read().unwrap().len() <= MAX_NAMES + 1);
}

#[test]
fn the_old_names_are_there_for_who_wants_them() {
    let metrics = Metrics::new(Some(OldNames::AwsIamAuthenticator));
    let took = Duration::from_millis(20);
    for result in [
        OldResult::InvalidToken,
        OldResult::NotAllowed,
        OldResult::StsError,
        OldResult::StsThrottling,
        OldResult::Success,
    ] {
        metrics.old_login(result, took);
    }
    metrics.rejected("method");
    metrics.rejected("busy");
    metrics.sts_answer("eu-west-1", Some(200), false);
    metrics.sts_answer("", Some(429), true);
    metrics.sts_answer("eu-west-1", None, false);
    metrics.source_failed("EKSConfigMap", "list");
    metrics.source_failed("DynamicFile", "read");
    metrics.source_failed("CRD", "list");
    metrics.ec2_request("ok", 3, took);
    metrics.old_dynamic_file(true, false);
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
    metrics.old_dynamic_latency("dynamic_file", written, written + Duration::from_secs(4));
    metrics.old_dynamic_latency("dynamic_backend_mode", written, SystemTime::UNIX_EPOCH);
    let text = metrics.text();
    let kept = |line: &&str| {
        let success = line.contains("success") || !line.contains("_bucket{");
        line.starts_with("aws_iam_authenticator_") && success
    };
    let mut own: Vec<&str> = text.lines().filter(kept).collect();
    own.sort_unstable();
    expect![[r#"
        aws_iam_authenticator_authenticate_latency_seconds_bucket{le="+Inf",result="success"} 1
        aws_iam_authenticator_authenticate_latency_seconds_bucket{le="0.005",result="success"} 0
        aws_iam_authenticator_authenticate_latency_seconds_bucket{le="0.01",result="success"} 0
        aws_iam_authenticator_authenticate_latency_seconds_bucket{le="0.025",result="success"} 1
        aws_iam_authenticator_authenticate_latency_seconds_bucket{le="0.05",result="success"} 1
        aws_iam_authenticator_authenticate_latency_seconds_bucket{le="0.1",result="success"} 1
        aws_iam_authenticator_authenticate_latency_seconds_bucket{le="0.25",result="success"} 1
        aws_iam_authenticator_authenticate_latency_seconds_bucket{le="0.5",result="success"} 1
        aws_iam_authenticator_authenticate_latency_seconds_bucket{le="1.0",result="success"} 1
        aws_iam_authenticator_authenticate_latency_seconds_bucket{le="10.0",result="success"} 1
        aws_iam_authenticator_authenticate_latency_seconds_bucket{le="2.5",result="success"} 1
        aws_iam_authenticator_authenticate_latency_seconds_bucket{le="5.0",result="success"} 1
        aws_iam_authenticator_authenticate_latency_seconds_count{result="invalid_token"} 1
        aws_iam_authenticator_authenticate_latency_seconds_count{result="malformed_request"} 1
        aws_iam_authenticator_authenticate_latency_seconds_count{result="sts_error"} 1
        aws_iam_authenticator_authenticate_latency_seconds_count{result="sts_throttling"} 1
        aws_iam_authenticator_authenticate_latency_seconds_count{result="success"} 1
        aws_iam_authenticator_authenticate_latency_seconds_count{result="uknown_user"} 1
        aws_iam_authenticator_authenticate_latency_seconds_sum{result="invalid_token"} 0.02
        aws_iam_authenticator_authenticate_latency_seconds_sum{result="malformed_request"} 0.0
        aws_iam_authenticator_authenticate_latency_seconds_sum{result="sts_error"} 0.02
        aws_iam_authenticator_authenticate_latency_seconds_sum{result="sts_throttling"} 0.02
        aws_iam_authenticator_authenticate_latency_seconds_sum{result="success"} 0.02
        aws_iam_authenticator_authenticate_latency_seconds_sum{result="uknown_user"} 0.02
        aws_iam_authenticator_configmap_watch_failures_total 1
        aws_iam_authenticator_dynamic_e2e_latency_seconds_count{type="dynamic_backend_mode"} 1
        aws_iam_authenticator_dynamic_e2e_latency_seconds_count{type="dynamic_file"} 1
        aws_iam_authenticator_dynamic_e2e_latency_seconds_sum{type="dynamic_backend_mode"} 0.0
        aws_iam_authenticator_dynamic_e2e_latency_seconds_sum{type="dynamic_file"} 4.0
        aws_iam_authenticator_dynamic_file_enabled 1
        aws_iam_authenticator_dynamic_file_only 0
        aws_iam_authenticator_dynamicfile_failures_total 1
        aws_iam_authenticator_ec2_describe_instances_calls_total 1
        aws_iam_authenticator_sts_connection_failures_total{StsRegion="eu-west-1"} 1
        aws_iam_authenticator_sts_responses_total{ResponseCode="200",StsRegion="eu-west-1"} 1
        aws_iam_authenticator_sts_responses_total{ResponseCode="429",StsRegion="global"} 1
        aws_iam_authenticator_sts_throttling_total{StsRegion="global"} 1"#]]
    .assert_eq(&own.join("\n"));
    assert!(!Metrics::default().text().contains("aws_iam_authenticator"), "and for nobody else");
}

#[test]
fn the_names_of_ack_ram_authenticator() {
    let metrics = Metrics::new(Some(OldNames::AckRamAuthenticator));
    metrics.old_login(OldResult::NotAllowed, Duration::from_millis(20));
    metrics.source_failed("ACKConfigMap", "list");
    let text = metrics.text();
    for line in [
        "ack_ram_authenticator_authenticate_latency_seconds_count{result=\"uknown_user\"} 1",
        "ack_ram_authenticator_configmap_watch_failures_total 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("aws_iam_authenticator"), "{text}");
}
