//! The standard output, which remembers that nobody reads on.

use std::io::{self, Write};

/// The standard output of this process.
#[derive(Default)]
pub(super) struct Stdout {
    is_closed: bool,
}

// === impl Stdout ===

impl Stdout {
    /// Whether something was written that nobody wants: `herald … | head`.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.is_closed |= result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        result
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = io::stdout().write(bytes);
        self.note(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = io::stdout().flush();
        self.note(result)
    }
}
