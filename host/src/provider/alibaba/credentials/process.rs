//! A program that prints credentials, as a profile of Alibaba Cloud's CLI.
//!
//! The command is split into words and run without a shell: what stands in a file is never more than arguments. As with
//! that CLI, quotes keep a word together, and a backslash takes the next character as it is (POSIX, "Shell Command
//! Language", "Quoting").

use std::{
    io::{self, Read as _},
    process::{Command, Stdio},
};

use zeroize::Zeroizing;

use super::{LoadError, Source, aliyun::Profile, answer::described};

/// Largest output that is read, in bytes.
const MAX_OUTPUT: u64 = 64 << 10;
const NAME: &str = "the credential program";

/// Runs `command` and reads the source that it prints.
pub(super) fn run(command: &str) -> Result<Source, LoadError> {
    let output = Zeroizing::new(output(command).map_err(LoadError::Process)?);
    parse(&output).map_err(|what| LoadError::Answer { source_name: NAME, what })
}

/// The source that a program printed.
///
/// # Errors
///
/// What is wrong with it, without anything secret.
pub fn parse(output: &[u8]) -> Result<Source, String> {
    let profile: Profile = serde_json::from_slice(output).map_err(|error| described(&error))?;
    match profile.source()? {
        Source::Process(_) => Err("it names another program".to_owned()),
        source => Ok(source),
    }
}

fn output(command: &str) -> io::Result<Vec<u8>> {
    let words = words(command)?;
    let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut child = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_OUTPUT).read_to_end(&mut output)?;
    }
    let status = child.wait()?;
    if status.success() { Ok(output) } else { Err(io::Error::other(status.to_string())) }
}

fn words(command: &str) -> io::Result<Vec<String>> {
    let mut words = Vec::<String>::new();
    let mut word = None::<String>;
    let mut quote = None::<char>;
    let mut rest = command.chars().peekable();
    while let Some(char) = rest.next() {
        match (quote, char) {
            (Some(open), _) if open == char => quote = None,
            (None | Some('"'), '\\') => {
                let is_taken = |next: &char| quote.is_none() || matches!(*next, '"' | '\\' | '$' | '`' | '\n');
                let next = rest.next_if(is_taken).unwrap_or(char);
                // The end of a line behind a backslash is none.
                if next != '\n' {
                    word.get_or_insert_default().push(next);
                }
            }
            (None, '"' | '\'') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (None, _) if char.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    match quote {
        None => Ok(words),
        Some(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "its command has a quote without an end")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_words_as_to_alibaba_clouds_cli() {
        #[track_caller]
        fn check(command: &str, expected: &[&str]) {
            assert_eq!(words(command).expect("words"), expected, "{command}");
        }
        check("", &[]);
        check("  get\tkeys \n now ", &["get", "keys", "now"]);
        check(r#""/opt/My Tools/get" --for 'a "b" c' -x=1"#, &["/opt/My Tools/get", "--for", r#"a "b" c"#, "-x=1"]);
        check(r#"get "" '' a""b"#, &["get", "", "", "ab"]);
        check(r#"get "it's" 'a\b' "a\"b\c\$d" /My\ Tools/e"#, &["get", "it's", r"a\b", r#"a"b\c$d"#, "/My Tools/e"]);
        check("get \\\n keys", &["get", "keys"]);
        check("get $HOME; rm ~ | x", &["get", "$HOME;", "rm", "~", "|", "x"]);
        for command in ["get 'keys", "get \"keys", "get it's"] {
            let error = words(command).expect_err("no end");
            assert_eq!(error.to_string(), "its command has a quote without an end", "{command}");
        }
    }
}
