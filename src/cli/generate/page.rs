//! mesos-volumed(8).

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command};

use super::escaped;

/// The page, from the command line's definition.
pub(super) fn program(mut command: Command) -> anyhow::Result<Vec<u8>> {
    command.build();
    let exit = command.get_after_help().map(ToString::to_string);
    let man = clap_mangen::Man::new(command.clone())
        .section("8")
        .manual("System Administration")
        .source(format!("mesos-volumed {}", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    page.extend(b".SH SYNOPSIS\n.B mesos\\-volumed\n[OPTIONS] COMMAND [ARGUMENTS]\n");
    man.render_description_section(&mut page)?;
    let mut text = String::from(".SH OPTIONS\nEvery command takes these.\n");
    for arg in command.get_arguments() {
        argument(arg, &mut text);
    }
    text.push_str(".SH COMMANDS\n");
    commands(&command, "mesos-volumed", &mut text);
    text.push_str(".SH EXIT STATUS\n");
    lines(&exit.unwrap_or_default(), &mut text);
    text.push_str(
        ".SH FILES\n\
         .TP\n.B /etc/mesos\\-volumed/config.toml\nThe configuration, and conf.d/*.toml beside it.\n\
         .TP\n.B /var/lib/mesos\\-volumed\nWhat was seen and done: memory, ledger, audit log.\n\
         .TP\n.B /run/mesos\\-volumed/api.sock\nWhere the daemon is asked.\n\
         .SH SEE ALSO\nmesos\\-volumed.toml(5)\n",
    );
    page.extend(text.into_bytes());
    Ok(page)
}

/// Each command that does something, with the names above it.
fn commands(command: &Command, name: &str, text: &mut String) {
    for inner in command.get_subcommands() {
        let name = format!("{name} {}", inner.get_name());
        if inner.has_subcommands() {
            commands(inner, &name, text);
            continue;
        }
        let _infallible = writeln!(text, ".SS \"{}\"", escaped(&name));
        let usage = inner.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ");
        let _infallible = writeln!(text, ".nf\n.B {}\n.fi\n.sp", escaped(usage));
        for about in [inner.get_about(), inner.get_long_about()]
            .into_iter()
            .flatten()
        {
            lines(&about.to_string(), text);
            text.push_str(".sp\n");
        }
        for arg in inner.get_arguments().filter(|arg| !arg.is_global_set()) {
            argument(arg, text);
        }
        if let Some(after) = inner.get_after_help() {
            text.push_str(".PP\n.nf\n");
            for line in after.to_string().lines() {
                let _infallible = writeln!(text, "{}", escaped(line));
            }
            text.push_str(".fi\n");
        }
    }
}

/// A flag or a positional argument with its help.
fn argument(arg: &Arg, text: &mut String) {
    if arg.is_hide_set() || ["help", "version"].contains(&arg.get_id().as_str()) {
        return;
    }
    let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let value = arg
        .get_value_names()
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ");
    let name = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (None, Some(long)) => format!("--{long}"),
        (Some(short), None) => format!("-{short}"),
        (None, None) => String::new(),
    };
    let shown = match (name.as_str(), takes_value) {
        ("", _) => value,
        (name, true) => format!("{name} {value}"),
        (name, false) => name.to_owned(),
    };
    let _infallible = writeln!(text, ".TP\n.B {}", escaped(&shown));
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let mut help = help.map(ToString::to_string).unwrap_or_default();
    let values: Vec<String> = if takes_value {
        let possible = arg.get_possible_values();
        possible
            .iter()
            .map(|value| value.get_name().to_owned())
            .collect()
    } else {
        Vec::new()
    };
    if !values.is_empty() {
        let _infallible = write!(help, " [possible values: {}]", values.join(", "));
    }
    let defaults: Vec<String> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy().into_owned())
        .collect();
    if takes_value && !defaults.is_empty() {
        let _infallible = write!(help, " [default: {}]", defaults.join(", "));
    }
    lines(&help, text);
}

/// Lines as they are; an empty one begins a paragraph.
fn lines(prose: &str, text: &mut String) {
    for line in prose.lines() {
        if line.trim().is_empty() {
            text.push_str(".sp\n");
        } else {
            let _infallible = writeln!(text, "{}", escaped(line.trim()));
        }
    }
}
