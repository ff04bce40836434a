//! What the reader sees: numbered steps in plain text, with a little colour on a terminal.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
};

/// Standard output as numbered steps.
#[derive(Debug)]
pub(crate) struct Page {
    colour: bool,
    steps: usize,
}

// === impl Page ===

impl Page {
    /// Coloured only on a terminal, and never when `NO_COLOR` is set (no-color.org).
    pub(crate) fn stdout() -> Self {
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour: wanted && io::stdout().is_terminal(), steps: 0 }
    }

    /// The first line of all.
    pub(crate) fn title(&mut self, text: &str) {
        self.line(&self.painted(BOLD, text));
    }

    /// An aside.
    pub(crate) fn note(&mut self, text: &str) {
        self.line(&self.painted(DIM, text));
    }

    /// The next step's heading.
    pub(crate) fn step(&mut self, text: &str) {
        self.steps += 1;
        self.line("");
        self.line(&self.painted(BOLD, &format!("{}. {text}", self.steps)));
    }

    /// A sentence within a step.
    pub(crate) fn say(&mut self, text: &str) {
        if text.is_empty() { self.line("") } else { self.line(&format!("   {text}")) }
    }

    /// A command that was run.
    pub(crate) fn command(&mut self, text: &str) {
        self.line(&format!("   {}", self.painted(CYAN, &format!("$ {text}"))));
    }

    /// Something that came back, under its name.
    pub(crate) fn fact(&mut self, name: &str, value: &str) {
        self.line(&format!("   {name:<9} {value}"));
    }

    /// The answer to a login.
    pub(crate) fn verdict(&mut self, good: bool, text: &str) {
        let (colour, word) = if good { (GREEN, "allowed") } else { (RED, "denied") };
        self.line(&format!("   {:<9} {}", "answer", self.painted(colour, &format!("{word}: {text}"))));
    }

    /// Why the demo did not get to its end, on standard error.
    pub(crate) fn failure(&mut self, error: &anyhow::Error) {
        eprintln!("\nquickstart: {error:#}");
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(&self, text: &str) {
        // Nobody reads on: the exit code still tells how it went.
        let _ = writeln!(io::stdout(), "{text}");
    }
}

const BOLD: &str = "1";
const CYAN: &str = "36";
const DIM: &str = "2";
const GREEN: &str = "32";
const RED: &str = "31";
