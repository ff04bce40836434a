//! JUnit's XML, which build servers show: a test suite for each file, a test for each case.

use std::{fmt::Write as _, path::Path, time::Duration};

use aws_smithy_xml::encode::{ScopeWriter, XmlWriter};

use super::test::Ran;
use crate::policy::{
    LogLine,
    cases::{Case, difference},
};

/// One file of cases, and what came of each.
pub(super) type Tested<'a> = (&'a Path, Vec<(&'a Case, Ran)>);

/// How many tests there are, how many failed, and how long all took.
#[derive(Default)]
struct Count {
    tests: usize,
    failures: usize,
    time: Duration,
}

/// The report of all `files` that `component` was tested with.
pub(super) fn report(component: &Path, files: &[Tested<'_>]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let mut writer = XmlWriter::new(&mut text);
    let component = visible(&component.display().to_string());
    let mut suites = writer.start_el("testsuites");
    suites.write_attribute("name", &component);
    Count::of(files.iter().flat_map(|(_, ran)| ran)).each(|name, value| _ = suites.write_attribute(name, value));
    let mut suites = suites.finish();
    for (path, ran) in files {
        let mut suite = suites.start_el("testsuite");
        suite.write_attribute("name", &visible(&path.display().to_string()));
        Count::of(ran).each(|name, value| _ = suite.write_attribute(name, value));
        let mut suite = suite.finish();
        ran.iter().for_each(|(case, ran)| write_case(&mut suite, &component, case, ran));
        suite.finish();
    }
    suites.finish();
    text.push('\n');
    text
}

fn write_case(suite: &mut ScopeWriter<'_, '_>, component: &str, case: &Case, ran: &Ran) {
    let mut test = suite.start_el("testcase");
    test.write_attribute("classname", component)
        .write_attribute("name", &visible(&case.name))
        .write_attribute("time", &seconds(ran.took));
    let mut test = test.finish();
    if let Some(difference) = difference(&case.expect, &ran.outcome) {
        let mut failure = test.start_el("failure");
        failure.write_attribute("message", "not as expected");
        let mut failure = failure.finish();
        failure.data(&visible(&difference));
        failure.finish();
        if !ran.log.is_empty() {
            let mut log = test.start_el("system-out").finish();
            log.data(&visible(&lines(&ran.log)));
            log.finish();
        }
    }
    test.finish();
}

fn lines(log: &[LogLine]) -> String {
    log.iter().fold(String::new(), |mut text, line| {
        writeln!(text, "{}: {}", line.level, line.message).expect("a string takes all that is written to it");
        text
    })
}

// === impl Count ===

impl Count {
    fn of<'a>(ran: impl IntoIterator<Item = &'a (&'a Case, Ran)>) -> Self {
        ran.into_iter().fold(Self::default(), |count, (case, ran)| Self {
            tests: count.tests + 1,
            failures: count.failures + usize::from(difference(&case.expect, &ran.outcome).is_some()),
            time: count.time + ran.took,
        })
    }

    fn each(&self, mut write: impl FnMut(&'static str, &str)) {
        write("tests", &self.tests.to_string());
        write("failures", &self.failures.to_string());
        write("time", &seconds(self.time));
    }
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
    use crate::policy::{
        Verdict,
        cases::{Document, Outcome},
    };

    #[test]
    fn a_report() {
        let document = r#"{"cases": [
            {"name": "good <b>", "caller": {"arn": "arn:aws:iam::111122223333:user/a"}, "expect": "abstain"},
            {"name": "bad\u0007\uffff", "caller": {"arn": "arn:aws:iam::111122223333:user/a"}, "expect": {"deny": "x"}}]}"#;
        let document: Document = serde_json::from_str(document).expect("cases");
        let cases = document.into_cases();
        let log = vec![LogLine { level: "warn", message: "a & b".to_owned() }];
        let ran = Ran { outcome: Outcome::Verdict(Verdict::Abstain), log, took: Duration::from_micros(1500) };
        let files: Vec<Tested<'_>> = vec![
            (Path::new("cases.yaml"), cases.iter().map(|case| (case, ran.clone())).collect()),
            (Path::new("more.yaml"), vec![(&cases[0], ran.clone())]),
        ];
        expect![[r#"
            <?xml version="1.0" encoding="UTF-8"?>
            <testsuites name="p.wasm" tests="3" failures="1" time="0.004500"><testsuite name="cases.yaml" tests="2" failures="1" time="0.003000"><testcase classname="p.wasm" name="good &lt;b&gt;" time="0.001500"></testcase><testcase classname="p.wasm" name="bad��" time="0.001500"><failure message="not as expected">        expected deny with &quot;x&quot; in its text&#xA;        found    abstain</failure><system-out>warn: a &amp; b&#xA;</system-out></testcase></testsuite><testsuite name="more.yaml" tests="1" failures="0" time="0.001500"><testcase classname="p.wasm" name="good &lt;b&gt;" time="0.001500"></testcase></testsuite></testsuites>
        "#]]
        .assert_eq(&report(Path::new("p.wasm"), &files));
    }
}
