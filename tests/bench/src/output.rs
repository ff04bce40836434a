//! Standard output: the one place of this package that prints results.

/// Prints `text` and a line end.
#[expect(clippy::print_stdout, reason = "the tables are this command's answer")]
pub(crate) fn line(text: impl std::fmt::Display) {
    println!("{text}");
}

/// Tells on standard error what is under way.
pub(crate) fn progress(text: impl std::fmt::Display) {
    eprintln!("{text}");
}
