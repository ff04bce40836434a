//! The process log: one line an event on stderr, as `key=value` pairs or as JSON.
//!
//! Every line has `time` (RFC 3339, UTC), `level`, `msg` and `component=herald`. Values are quoted
//! where they need it, so no value can start a line or a pair of its own.

use std::{
    fmt::{self, Write as _},
    io,
    str::FromStr,
    sync::OnceLock,
    time::SystemTime,
};

use serde::Deserialize;

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer as _, Registry,
    filter::Targets,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt as _,
};

use crate::caller::letters::steers;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// `key=value` pairs.
    #[default]
    Text,
}

/// The least serious lines that are written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Verbosity(LevelFilter);

/// A crate whose errors we hand on ourselves, once an outage instead of once an attempt.
const TELLS_TWICE: &str = "kube_client";

/// Not a log format.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be text or json")]
pub struct InvalidFormat;

/// Not a log level.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be panic, fatal, error, warning, info, debug or trace")]
pub struct InvalidVerbosity;

/// What is written by the process log, once there is one.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Starts the process log. Crates that are not ours are heard from `warning` on, from `debug` on
/// when `verbosity` is `trace`.
///
/// A second call in one process changes nothing.
pub fn init(format: Format, verbosity: Verbosity) {
    let (filter, handle) = reload::Layer::new(filter(verbosity));
    let lines = tracing_subscriber::fmt::layer().event_format(Lines(format)).with_writer(io::stderr);
    if tracing_subscriber::registry().with(lines.with_filter(filter)).try_init().is_ok() {
        let _ = FILTER.set(handle);
    }
}

/// Writes as much as `verbosity` says from here on.
pub fn set_verbosity(verbosity: Verbosity) {
    if let Some(handle) = FILTER.get() {
        // It is there as long as the process.
        let _ = handle.reload(filter(verbosity));
    }
}

fn filter(verbosity: Verbosity) -> Targets {
    let others = match verbosity.0 {
        LevelFilter::TRACE => LevelFilter::DEBUG,
        level => level.min(LevelFilter::WARN),
    };
    Targets::new()
        .with_target(env!("CARGO_CRATE_NAME"), verbosity.0)
        .with_target(TELLS_TWICE, if others == LevelFilter::DEBUG { others } else { LevelFilter::OFF })
        .with_default(others)
}

/// Writes events in the one shape there is.
struct Lines(Format);

/// An event's message and its other fields, in order.
#[derive(Default)]
struct Fields {
    message: String,
    rest: Vec<(&'static str, String)>,
}

// === impl Lines ===

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        #[expect(clippy::disallowed_methods, reason = "a log line tells when it was written")]
        let now = SystemTime::now();
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.line(&mut out, now, level(*event.metadata().level()), &fields)
    }
}

// === impl Format ===

impl Format {
    fn line(self, out: &mut impl fmt::Write, now: SystemTime, level: &str, fields: &Fields) -> fmt::Result {
        let time = humantime::format_rfc3339_millis(now).to_string();
        let fixed = [("time", time.as_str()), ("level", level), ("msg", &fields.message), ("component", "herald")];
        let rest = fields.rest.iter().map(|(key, value)| (*key, value.as_str()));
        let pairs = fixed.into_iter().chain(rest);
        match self {
            Self::Json => write_json(out, pairs),
            Self::Text => write_text(out, pairs),
        }
    }
}

fn write_json<'a>(out: &mut impl fmt::Write, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> fmt::Result {
    let mut separator = '{';
    for (key, value) in pairs {
        write!(out, "{separator}{}:{}", quoted(key), quoted(value))?;
        separator = ',';
    }
    out.write_str("}\n")
}

fn write_text<'a>(out: &mut impl fmt::Write, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> fmt::Result {
    let mut separator = "";
    for (key, value) in pairs {
        write!(out, "{separator}{key}=")?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/@^+,%~$*[]".contains(&byte);
        match value {
            "" => out.write_str("\"\"")?,
            value if value.bytes().all(plain) => out.write_str(value)?,
            value => out.write_str(&quoted(value))?,
        }
        separator = " ";
    }
    out.write_char('\n')
}

/// JSON's way to quote, with everything that steers a terminal escaped as well.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if !steers(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

fn level(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::ERROR => "error",
        tracing::Level::WARN => "warning",
        tracing::Level::INFO => "info",
        tracing::Level::DEBUG => "debug",
        tracing::Level::TRACE => "trace",
    }
}

impl FromStr for Format {
    type Err = InvalidFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(InvalidFormat),
        }
    }
}

// === impl Verbosity ===

impl Default for Verbosity {
    fn default() -> Self {
        Self(LevelFilter::INFO)
    }
}

impl FromStr for Verbosity {
    type Err = InvalidVerbosity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // As those have it whose command lines exist.
        let level = match text.to_ascii_lowercase().as_str() {
            "panic" | "fatal" | "error" => LevelFilter::ERROR,
            "warning" | "warn" => LevelFilter::WARN,
            "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            "trace" => LevelFilter::TRACE,
            _ => return Err(InvalidVerbosity),
        };
        Ok(Self(level))
    }
}

impl TryFrom<String> for Verbosity {
    type Error = InvalidVerbosity;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

// === impl Fields ===

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        self.put(field.name(), text);
    }
}

impl Fields {
    fn put(&mut self, name: &'static str, value: String) {
        if name == "message" {
            self.message = value;
        } else {
            self.rest.push((name, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(format: Format, message: &str, rest: &[(&'static str, &str)], expected: &Expect) {
        let rest = rest.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let fields = Fields { message: message.to_owned(), rest };
        let mut line = String::new();
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_663_195_855_123);
        format.line(&mut line, now, "info", &fields).unwrap();
        expected.assert_eq(&line);
    }

    #[test]
    fn lines() {
        check(
            Format::Text,
            "listening",
            &[("address", "127.0.0.1:21362"), ("path", "/var/herald")],
            &expect![[r#"
                time="2022-09-14T22:50:55.123Z" level=info msg=listening component=herald address="127.0.0.1:21362" path=/var/herald
            "#]],
        );
        check(
            Format::Text,
            "",
            &[("error", "a\nlevel=error \"b\" \u{202E}\u{061C}\u{1b}[2J")],
            &expect![[r#"
            time="2022-09-14T22:50:55.123Z" level=info msg="" component=herald error="a\nlevel=error \"b\" \u202e\u061c\u001b[2J"
        "#]],
        );
        check(
            Format::Json,
            "say \"hi\"",
            &[("path", "/a\nb")],
            &expect![[r#"
            {"time":"2022-09-14T22:50:55.123Z","level":"info","msg":"say \"hi\"","component":"herald","path":"/a\nb"}
        "#]],
        );
    }

    #[test]
    fn words() {
        assert_eq!("panic".parse(), Ok(Verbosity(LevelFilter::ERROR)));
        assert_eq!("warning".parse(), Ok(Verbosity(LevelFilter::WARN)));
        for same in ["warn", "WARNING", "Warning"] {
            assert_eq!(same.parse(), Ok(Verbosity(LevelFilter::WARN)), "{same}");
        }
        assert_eq!("loud".parse::<Verbosity>(), Err(InvalidVerbosity));
        assert_eq!("json".parse(), Ok(Format::Json));
        assert_eq!("xml".parse::<Format>(), Err(InvalidFormat));
    }
}
