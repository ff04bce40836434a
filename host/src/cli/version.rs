//! `herald version`: what this binary is.

use std::io::Write;

use clap::builder::BoolishValueParser;
use serde::Serialize;

use super::called::Name;

/// Print the version of this binary.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// Print the bare version and nothing else.
    #[arg(short, long, num_args = 0..=1, require_equals = true, value_parser = BoolishValueParser::new())]
    short: bool,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// A way to print the version.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Output {
    /// An object with `Version`, `Commit` and `Date`; what is not known is left out.
    #[default]
    Json,
    /// One line.
    Text,
    /// The same as JSON's, with small letters.
    Yaml,
}

/// What is known about this build.
#[derive(Serialize)]
#[serde(rename_all(serialize = "PascalCase"))]
struct Build {
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<&'static str>,
}

const EXAMPLES: &str = "\
Examples:
  herald version
  herald version --short
  herald version -o text";

/// The version itself: the package's.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from; none if that is not known.
pub(super) const COMMIT: Option<&str> = option_env!("HERALD_COMMIT");

/// Variables are those of `.ci/release`.
const BUILD: Build = Build { version: VERSION, commit: COMMIT, date: option_env!("HERALD_BUILD_DATE") };

// === impl Command ===

impl Command {
    /// Prints to `out`. Under an old name, JSON is one line.
    ///
    /// # Errors
    ///
    /// When `out` takes no more.
    pub fn run(&self, name: Name, out: &mut impl Write) -> anyhow::Result<()> {
        if self.short {
            writeln!(out, "{VERSION}")?;
            return Ok(());
        }
        match self.output {
            Output::Json if name.is_old() => Ok(writeln!(out, "{}", serde_json::to_string(&BUILD)?)?),
            output => BUILD.print(output, out),
        }
    }
}

// === impl Build ===

impl Build {
    fn print(&self, output: Output, out: &mut impl Write) -> anyhow::Result<()> {
        let fields = [("version", Some(self.version)), ("commit", self.commit), ("date", self.date)];
        let mut known = fields.into_iter().filter_map(|(key, value)| Some((key, value?)));
        match output {
            Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(self)?)?,
            Output::Text => {
                let rest: Vec<_> = known.skip(1).map(|(key, value)| format!(", {key} {value}")).collect();
                writeln!(out, "herald {}{}", self.version, rest.concat())?;
            }
            Output::Yaml => known.try_for_each(|(key, value)| writeln!(out, "{key}: {value:?}"))?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(commit: Option<&'static str>, output: Output, expected: &Expect) {
        let mut out = Vec::new();
        Build { version: "1.2.3", commit, date: None }.print(output, &mut out).unwrap();
        expected.assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn formats() {
        check(
            Some("0a1b2c"),
            Output::Json,
            &expect![[r#"
            {
              "Version": "1.2.3",
              "Commit": "0a1b2c"
            }
        "#]],
        );
        check(
            None,
            Output::Json,
            &expect![[r#"
            {
              "Version": "1.2.3"
            }
        "#]],
        );
        check(
            Some("0a1b2c"),
            Output::Text,
            &expect![[r#"
            herald 1.2.3, commit 0a1b2c
        "#]],
        );
        check(
            Some("0123456"),
            Output::Yaml,
            &expect![[r#"
            version: "1.2.3"
            commit: "0123456"
        "#]],
        );
    }

    #[test]
    fn an_old_name_writes_one_line() {
        let mut out = Vec::new();
        Command { short: false, output: Output::Json }.run(Name::AwsIamAuthenticator, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(&format!(r#"{{"Version":"{VERSION}""#)) && text.ends_with("}\n"), "{text}");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn short_takes_a_value_as_well() {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            command: Command,
        }
        let rows: [(&[&str], bool); 6] = [
            (&[], false),
            (&["-s"], true),
            (&["-so", "yaml"], true),
            (&["-s=true"], true),
            (&["--short=T"], true),
            (&["--short=false"], false),
        ];
        for (words, expected) in rows {
            let cli = <Cli as clap::Parser>::try_parse_from([&["version"], words].concat()).unwrap();
            assert_eq!(cli.command.short, expected, "{words:?}");
        }
    }

    #[test]
    fn short_is_bare() {
        let mut out = Vec::new();
        Command { short: true, output: Output::Json }.run(Name::Herald, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("{VERSION}\n"));
    }
}
