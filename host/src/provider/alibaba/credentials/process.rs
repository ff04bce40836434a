//! A program that prints credentials, as a profile of Alibaba Cloud's CLI.
//!
//! The command is split at white space and run without a shell: what stands in a file is never more than arguments.

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
    let mut words = command.split_whitespace();
    let program = words.next().ok_or(io::ErrorKind::InvalidInput)?;
    let mut child = Command::new(program).args(words).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_OUTPUT).read_to_end(&mut output)?;
    }
    let status = child.wait()?;
    if status.success() { Ok(output) } else { Err(io::Error::other(status.to_string())) }
}
