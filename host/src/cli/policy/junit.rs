//! JUnit's XML, which build servers show: one test suite, a test for each case.

use std::{path::Path, time::Duration};

use aws_smithy_xml::encode::XmlWriter;

use crate::policy::cases::{Case, Outcome, difference};

/// One case, what came of it and how long that took.
pub(super) type Ran<'a> = (&'a Case, Duration, Outcome);

/// The report of one file of cases.
pub(super) fn report(component: &Path, ran: &[Ran<'_>]) -> String {
    let differences: Vec<Option<String>> =
        ran.iter().map(|(case, _, outcome)| difference(&case.expect, outcome)).collect();
    let failures = differences.iter().flatten().count().to_string();
    let (count, name) = (ran.len().to_string(), component.display().to_string());
    let total: Duration = ran.iter().map(|(_, took, _)| took).sum();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let mut writer = XmlWriter::new(&mut text);
    let mut suite = writer.start_el("testsuite");
    suite
        .write_attribute("name", &visible(&name))
        .write_attribute("tests", &count)
        .write_attribute("failures", &failures)
        .write_attribute("time", &seconds(total));
    let mut suite = suite.finish();
    for ((case, took, _), difference) in ran.iter().zip(&differences) {
        let mut test = suite.start_el("testcase");
        test.write_attribute("classname", &visible(&name))
            .write_attribute("name", &visible(&case.name))
            .write_attribute("time", &seconds(*took));
        let mut test = test.finish();
        if let Some(difference) = difference {
            let mut failure = test.start_el("failure");
            failure.write_attribute("message", "not as expected");
            let mut failure = failure.finish();
            failure.data(&visible(difference));
            failure.finish();
        }
        test.finish();
    }
    suite.finish();
    text.push('\n');
    text
}

fn seconds(time: Duration) -> String {
    format!("{:.6}", time.as_secs_f64())
}

/// Without the characters that XML has no way to write (Extensible Markup Language 1.0, "Characters").
fn visible(text: &str) -> String {
    let hidden = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::policy::{Verdict, cases::Document};

    #[test]
    fn a_report() {
        let document = r#"{"cases": [
            {"name": "good <b>", "caller": {"arn": "arn:aws:iam::111122223333:user/a"}, "expect": "abstain"},
            {"name": "bad\u0007\uffff", "caller": {"arn": "arn:aws:iam::111122223333:user/a"}, "expect": {"deny": "x"}}]}"#;
        let document: Document = serde_json::from_str(document).expect("cases");
        let cases = document.into_cases();
        let took = Duration::from_micros(1500);
        let ran: Vec<_> = cases.iter().map(|case| (case, took, Outcome::Verdict(Verdict::Abstain))).collect();
        expect![[r#"
            <?xml version="1.0" encoding="UTF-8"?>
            <testsuite name="p.wasm" tests="2" failures="1" time="0.003000"><testcase classname="p.wasm" name="good &lt;b&gt;" time="0.001500"></testcase><testcase classname="p.wasm" name="bad��" time="0.001500"><failure message="not as expected">        expected deny with &quot;x&quot; in its text&#xA;        found    abstain</failure></testcase></testsuite>
        "#]]
        .assert_eq(&report(Path::new("p.wasm"), &ran));
    }
}
