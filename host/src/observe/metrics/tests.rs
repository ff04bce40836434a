use expect_test::expect;

use super::*;

#[test]
fn text_is_stable() {
    let metrics = Metrics::default();
    let took = Duration::from_micros(700);
    metrics.decision("aws", "allowed", "ok", took);
    metrics.decision("", "denied", "foreign", Duration::from_micros(3));
    metrics.sts_request("eu-west-1", "ok", took);
    metrics.sts_request("", "sts_throttled", took);
    metrics.sts_cache("hit");
    metrics.policy("oncall", "allow", Duration::from_micros(24), 120_000);
    metrics.audit_dropped("denied");
    metrics.config_loaded("0a", SystemTime::UNIX_EPOCH);
    metrics.config_loaded("0b", SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    metrics.connection_opened();
    metrics.connection_cut("idle");
    metrics.review_started();
    metrics.rejected("too_large");
    let text = metrics.text();
    let own = text.lines().filter(|line| line.contains("herald_") && !line.contains("_bucket{")).collect::<Vec<_>>();
    expect![[""]].assert_eq(&own.join("\n"));
    assert!(text.contains(r#"herald_decision_duration_seconds_bucket{le="0.001",outcome="allowed"} 1"#), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn process_metrics_are_there_on_linux() {
    let text = Metrics::default().text();
    for name in ["process_resident_memory_bytes ", "process_open_fds ", "process_cpu_seconds_total "] {
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
