//! `config check` and `config show`.

use serde::Serialize;

use super::output::Text;
use super::{Exit, Output};
use crate::config::{self, AccessSecrets, Effective, Loaded, Source};
use crate::units::Raw;

#[derive(Debug, clap::Subcommand)]
pub(super) enum ConfigCommand {
    /// Read the configuration, name every mistake, exit 78 if there is one
    #[command(after_help = "\
Example:
  mesos-volumed config check
  mesos-volumed --config /tmp/new.toml config check && cp /tmp/new.toml /etc/mesos-volumed/config.toml")]
    Check,
    /// Print the configuration in force, defaults included, and where each value comes from
    #[command(after_help = "\
Example:
  mesos-volumed config show
  mesos-volumed config show --output json | jq .sweep.grace")]
    Show,
}

pub(super) fn run(
    command: &ConfigCommand,
    source: &Source,
    output: &Output,
) -> anyhow::Result<Exit> {
    match command {
        ConfigCommand::Check => check(source, output),
        ConfigCommand::Show => {
            let loaded = config::load(source)?;
            if output.is_json() {
                output.json(&json(&loaded))?;
            } else {
                output.text(&toml(&loaded))?;
            }
            Ok(Exit::Done)
        }
    }
}

#[derive(Serialize)]
struct Verdict {
    ok: bool,
    files: Vec<Raw>,
    problems: Vec<String>,
    notes: Vec<String>,
}

fn check(source: &Source, output: &Output) -> anyhow::Result<Exit> {
    let loaded = match config::load(source) {
        Ok(loaded) => loaded,
        Err(error) => {
            if output.is_json() {
                output.json(&Verdict {
                    ok: false,
                    files: Vec::new(),
                    problems: error.to_string().lines().map(str::to_owned).collect(),
                    notes: Vec::new(),
                })?;
            }
            return Err(error.into());
        }
    };
    let verdict = Verdict {
        ok: true,
        files: loaded
            .files
            .iter()
            .map(|file| Raw::from(file.as_path()))
            .collect(),
        problems: Vec::new(),
        notes: notes(&loaded),
    };
    output.value_or(&verdict, |_| {
        let mut text = Text::new();
        if verdict.files.is_empty() {
            let file = Raw::from(source.file.as_path());
            text.line(format_args!(
                "there is no {file}; the built-in defaults are in force"
            ));
        }
        for file in &verdict.files {
            text.line(format_args!("{file} is good"));
        }
        for note in &verdict.notes {
            text.line(format_args!("note: {}", Raw::from(note.as_str())));
        }
        text.into_string()
    })?;
    Ok(Exit::Done)
}

/// What nobody can do wrong in a file, but an operator wants to know before the daemon meets it.
fn notes(loaded: &Loaded) -> Vec<String> {
    let settings = &loaded.settings;
    let unreadable = [
        &settings.agent.access,
        &settings.master.access,
        &settings.marathon.access,
        &settings.fleet.access,
    ]
    .into_iter()
    .filter_map(|files| AccessSecrets::read(files).err());
    loaded
        .notes
        .iter()
        .map(ToString::to_string)
        .chain(unreadable.map(|error| format!("{:#}", anyhow::Error::new(error))))
        .collect()
}

/// The configuration in force as TOML that reads back to the same settings.
fn toml(loaded: &Loaded) -> String {
    let disks = loaded.inputs.disks();
    let mut text = Text::new();
    if disks.is_empty() {
        // Outside of every section, so before the first.
        text.line("disks = []");
    }
    for rule in &disks {
        table(&mut text, format_args!("[[disks]]"), rule);
    }
    for (section, keys) in loaded.inputs.sections() {
        table(&mut text, format_args!("[{section}]"), &keys);
    }
    text.into_string()
}

fn table(text: &mut Text, header: std::fmt::Arguments<'_>, keys: &[Effective]) {
    if !text.is_empty() {
        text.line("");
    }
    text.line(header);
    for Effective { name, value, place } in keys {
        match place {
            Some(place) => text.line(format_args!("{name} = {value}  # {place}")),
            None => text.line(format_args!("{name} = {value}  # default")),
        }
    }
}

/// The configuration in force as JSON, in the shape of the TOML.
fn json(loaded: &Loaded) -> serde_json::Map<String, serde_json::Value> {
    let object = |keys: &[Effective]| -> toml::Table {
        keys.iter()
            .map(|key| (key.name.to_owned(), key.value.clone()))
            .collect()
    };
    let disks: Vec<_> = loaded
        .inputs
        .disks()
        .iter()
        .map(|rule| object(rule))
        .collect();
    let mut root: serde_json::Map<_, _> = loaded
        .inputs
        .sections()
        .into_iter()
        .map(|(section, keys)| (section.to_owned(), serde_json::json!(object(&keys))))
        .collect();
    root.insert("disks".to_owned(), serde_json::json!(disks));
    root
}
