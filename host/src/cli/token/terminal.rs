//! Asks the person at the terminal. Neither stdin nor stdout is the terminal's here: kubectl reads the one
//! and may not have the other.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
};

/// The terminal of this process, whatever stdin and stdout are.
const TERMINAL: &str = "/dev/tty";
/// How often a person may mistype before any code goes to STS.
const ATTEMPTS: usize = 3;
/// Digits of a code.
const DIGITS: usize = 6;
/// Longest line that is read.
const MAX_LINE: u64 = 256;

/// Asks for the code that the MFA device `serial` shows.
///
/// # Errors
///
/// When there is no terminal, or nobody at it who types six digits.
pub(super) fn ask_code(serial: &str) -> io::Result<String> {
    let terminal = File::options().read(true).write(true).open(TERMINAL)?;
    ask(serial, BufReader::new(&terminal), &terminal)
}

fn ask(serial: &str, mut input: impl io::BufRead, mut output: impl io::Write) -> io::Result<String> {
    for _ in 0..ATTEMPTS {
        write!(output, "Code of MFA device {}: ", serial.escape_debug())?;
        output.flush()?;
        let mut line = String::new();
        if input.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let code = line.trim();
        if code.len() == DIGITS && code.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(code.to_owned());
        }
        writeln!(output, "A code has {DIGITS} digits.")?;
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "no code was typed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        #[track_caller]
        fn check(typed: &str, expected: Result<&str, io::ErrorKind>, prompts: usize) {
            let mut shown = Vec::new();
            let code = ask("arn:aws:iam::123456789012:mfa/bob", typed.as_bytes(), &mut shown);
            assert_eq!(code.as_deref().map_err(io::Error::kind), expected);
            let shown = String::from_utf8(shown).unwrap();
            assert_eq!(shown.matches("Code of MFA device arn:aws:iam::123456789012:mfa/bob: ").count(), prompts);
        }
        check("123456\n", Ok("123456"), 1);
        check(" 123456\r\n", Ok("123456"), 1);
        check("12345\n1234567\n012345\n", Ok("012345"), 3);
        check("a\nb\nc\n123456\n", Err(io::ErrorKind::InvalidInput), 3);
        check("", Err(io::ErrorKind::UnexpectedEof), 1);
    }
}
