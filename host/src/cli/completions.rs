//! `herald completions`: what a shell needs to complete Herald's commands and options.

use std::io::Write;

use clap_complete::{Shell, generate};

/// Print a script with which your shell completes commands and options.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  herald completions bash > /etc/bash_completion.d/herald
  herald completions zsh > ~/.zfunc/_herald
  herald completions fish > ~/.config/fish/completions/herald.fish";

// === impl Command ===

impl Command {
    /// Prints the script for `commands`.
    ///
    /// # Errors
    ///
    /// When the answer cannot be written.
    pub fn run(&self, mut commands: clap::Command, out: &mut impl Write) -> std::io::Result<()> {
        let mut script = Vec::new();
        generate(self.shell, &mut commands, "herald", &mut script);
        out.write_all(&script)
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, ValueEnum as _};

    use super::*;

    #[test]
    fn every_shell_knows_the_commands() {
        for &shell in Shell::value_variants() {
            let mut out = Vec::new();
            Command { shell }.run(crate::cli::Cli::command(), &mut out).expect("memory takes all");
            let script = String::from_utf8(out).expect("text");
            for word in ["check-config", "completions", "inspect", "never-group"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
