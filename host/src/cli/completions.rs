//! `herald completions`: what a shell needs to complete Herald's commands and options.

use std::io::Write;

use clap_complete::{Shell, generate};

use super::called::Name;

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
    /// Prints the script for `commands`, as the program of this `name` has them.
    ///
    /// # Errors
    ///
    /// When the answer cannot be written.
    pub fn run(&self, name: Name, commands: clap::Command, out: &mut impl Write) -> std::io::Result<()> {
        let mut script = Vec::new();
        generate(self.shell, &mut name.adapt(commands), name.as_str(), &mut script);
        out.write_all(&script)
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, ValueEnum as _};

    use super::*;

    /// What tells `shell` whose completions these are.
    fn registers(shell: Shell, program: &str) -> String {
        match shell {
            Shell::Bash => format!(" -o default {program}\n"),
            Shell::Elvish => format!("edit:completion:arg-completer[{program}] ="),
            Shell::Fish => format!("complete -c {program} "),
            Shell::PowerShell => format!("-CommandName '{program}'"),
            Shell::Zsh => format!("#compdef {program}\n"),
            _ => panic!("{shell} is new"),
        }
    }

    #[test]
    fn every_shell_knows_the_commands() {
        for name in Name::OLD.into_iter().chain([Name::Herald]) {
            let program = name.as_str();
            for &shell in Shell::value_variants() {
                let mut out = Vec::new();
                Command { shell }.run(name, crate::cli::Cli::command(), &mut out).expect("memory takes all");
                let script = String::from_utf8(out).expect("text");
                assert!(script.contains(&registers(shell, program)), "{program}, {shell}");
                for word in ["check-config", "completions", "inspect", "never-group"] {
                    assert!(script.contains(word), "{program}, {shell}: {word}");
                }
            }
        }
    }
}
