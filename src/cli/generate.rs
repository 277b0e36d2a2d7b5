//! `generate`: manual pages and shell completions, made from the command line's own definition and
//! from the sample configuration, which documents every key.

use clap_complete::Shell;

use super::{Exit, Output, command};

mod page;
mod settings;

/// Make manual pages and shell completions
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print a manual page
    #[command(after_help = "\
Example: mesos-volumed generate man > /usr/share/man/man8/mesos-volumed.8
  after which `man mesos-volumed` shows it
Example: mesos-volumed generate man mesos-volumed.toml.5 > /usr/share/man/man5/mesos-volumed.toml.5
  the page of the configuration")]
    Man {
        /// The page
        #[arg(value_enum, default_value_t)]
        page: Page,
    },
    /// Print the completions of a shell
    #[command(after_help = "\
Example: mesos-volumed generate completions bash > /usr/share/bash-completion/completions/mesos-volumed
  completes commands and flags in every new bash")]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// The pages that there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Page {
    /// The program.
    #[default]
    #[value(name = "mesos-volumed.8")]
    Program,
    /// The configuration.
    #[value(name = "mesos-volumed.toml.5")]
    Configuration,
}

pub(super) fn run(asked: &Command, output: &Output) -> anyhow::Result<Exit> {
    match asked {
        Command::Man { page } => output.bytes(&match page {
            Page::Program => page::program(command())?,
            Page::Configuration => settings::page().into_bytes(),
        })?,
        Command::Completions { shell } => {
            // Into memory: the generators take a failed write for a fault of the program.
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut command(), "mesos-volumed", &mut text);
            output.bytes(&text)?;
        }
    }
    Ok(Exit::Done)
}

/// Text as roff takes it: nothing in it is a request or an escape.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    if text.starts_with(['.', '\'']) {
        out.push_str("\\&");
    }
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            // Bare ones go where a request takes its words apart.
            '"' => out.push_str("\\(dq"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    fn unescaped(page: &str) -> String {
        page.replace("\\-", "-")
            .replace("\\&", "")
            .replace("\\(aq", "'")
            .replace("\\(dq", "\"")
    }

    fn program() -> String {
        unescaped(&String::from_utf8(page::program(command()).unwrap()).unwrap())
    }

    fn leaves(command: &clap::Command, name: &str, visit: &mut impl FnMut(&str, &clap::Command)) {
        let mut inner = command.get_subcommands().peekable();
        if inner.peek().is_none() {
            visit(name, command);
        }
        for one in inner {
            leaves(one, &format!("{name} {}", one.get_name()), visit);
        }
    }

    #[test]
    fn the_manual_has_every_command_with_its_flags_and_example_as_its_help_has_them() {
        let page = program();
        leaves(&command(), "mesos-volumed", &mut |name, leaf| {
            let heading = format!(".SS \"{name}\"\n");
            let (_, section) = page
                .split_once(&heading)
                .unwrap_or_else(|| panic!("{name}"));
            let section = section.split("\n.SS ").next().unwrap();
            for arg in leaf.get_arguments() {
                let Some(long) = arg.get_long() else { continue };
                if !["help", "version"].contains(&long) {
                    assert!(section.contains(&format!("--{long}")), "{name} --{long}");
                }
            }
            let about = leaf.get_about().unwrap().to_string();
            assert!(
                section.contains(&unescaped(&escaped(&about))),
                "{name}: {about}"
            );
            assert!(section.contains("Example"), "{name}");
        });
        for word in [
            "\n.SH NAME\n",
            "\n.SH OPTIONS\n",
            "\n.SH COMMANDS\n",
            "\n.SH EXIT STATUS\n",
            "--config",
        ] {
            assert!(page.contains(word), "{word}");
        }
    }

    #[test]
    fn the_manual_of_the_configuration_has_every_key_with_its_default() {
        let page = unescaped(&settings::page());
        for key in keys::all() {
            let (section, name) = key.name().split_once('.').unwrap();
            let heading = match section {
                "disks" => ".SS \"[[disks]]\"\n".to_owned(),
                section => format!(".SS \"[{section}]\"\n"),
            };
            let (_, of_section) = page
                .split_once(&heading)
                .unwrap_or_else(|| panic!("{section}"));
            let of_section = of_section.split("\n.SS ").next().unwrap();
            // The sample shows a rule, where the keys of one have no default.
            let default = match section {
                "disks" => "",
                _ => key.default_text(),
            };
            let line = format!("\n.B {name} = {default}");
            assert!(of_section.contains(&line), "{}", key.name());
        }
    }

    #[test]
    fn no_text_is_taken_for_a_request_of_roff() {
        assert_eq!(escaped(".SH x"), "\\&.SH x");
        assert_eq!(escaped("'a\\b-c`"), "\\&\\(aqa\\eb\\-c\\(ga");
        let requests = [
            ".TH ", ".SH ", ".SS ", ".TP", ".TQ", ".B ", ".PP", ".nf", ".fi", ".RS", ".RE", ".sp",
            ".ie ", ".el ", ".br",
        ];
        for page in [
            String::from_utf8(page::program(command()).unwrap()).unwrap(),
            settings::page(),
        ] {
            for line in page.lines().filter(|line| line.starts_with(['.', '\''])) {
                assert!(
                    requests.iter().any(|known| line.starts_with(known)),
                    "{line}"
                );
            }
        }
    }

    #[test]
    fn completions_know_the_commands_of_every_shell() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut command(), "mesos-volumed", &mut text);
            let text = String::from_utf8(text).unwrap();
            for word in ["doctor", "preflight", "accept-empty"] {
                assert!(text.contains(word), "{shell} {word}");
            }
        }
    }
}
