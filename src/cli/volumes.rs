//! `volumes list` and `volumes recreate`.

mod usage;

use anyhow::{anyhow, bail};
use serde_json::{Value, json};

use self::usage::Used;
use super::host::Owner;
use super::plan_text::reasons_json;
use super::{Align, Context, Exit, Table, Text, WithExit, sweep};
use crate::act::outcome::Outcome;
use crate::daemon::observer::Observer;
use crate::daemon::pass::look;
use crate::decide::authority::our_agents;
use crate::decide::facts::{AgentAnswer, CheckpointFile, Facts, Known, Words};
use crate::decide::listing::{self, VolumeRow, VolumeState};
use crate::mesos::ids::{PersistenceId, Role, VolumeKey};
use crate::units::Raw;

/// List what is on this host, or make a vanished directory again
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Join what the authorities name with what lies on the disks
    #[command(after_help = "\
Example: mesos-volumed volumes list --output json | jq '.volumes[] | select(.state == \"orphan\")'
  shows the directories that nobody names

States: held, pending, destroyed, orphan, trashed, foreign, vanished.")]
    List {
        /// Also look how much each takes up: MOUNT by the file system's count, others entry by entry
        #[arg(long)]
        usage: bool,
    },
    /// Make the missing directory of a held volume again: empty, mode 0755, owner root
    #[command(after_help = "\
Example: mesos-volumed volumes recreate slave_public/data --confirm data
  lets the task start again, on an empty volume")]
    Recreate {
        /// The volume, as role/persistence-id
        #[arg(value_name = "ROLE/ID")]
        volume: String,
        /// The persistence id again
        #[arg(long, value_name = "ID")]
        confirm: String,
    },
}

pub(super) fn run(command: &Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::List { usage } => list(*usage, context),
        Command::Recreate { volume, confirm } => recreate(volume, confirm, context),
    }
}

/// Takes `role/persistence-id` apart: an id holds no slash, a role may.
pub(super) fn volume_key(text: &str) -> anyhow::Result<VolumeKey> {
    match text.rsplit_once('/') {
        Some((role, id)) if !role.is_empty() && !id.is_empty() => {
            Ok(VolumeKey::new(Role::new(role), PersistenceId::new(id)))
        }
        Some(_) | None => {
            bail!("`{text}` is no volume: write role/persistence-id, as `volumes list` shows it")
        }
    }
}

/// The most dangerous verbs ask for the id a second time.
pub(super) fn confirmed(key: &VolumeKey, confirm: &str) -> anyhow::Result<()> {
    if key.id.as_raw().as_bytes() == confirm.as_bytes() {
        return Ok(());
    }
    Err(anyhow!(
        "not_confirmed: --confirm {} is not the persistence id of {key}; nothing was done",
        Raw::from(confirm)
    ))
    .exit(Exit::Refused)
}

fn list(with_usage: bool, context: &Context) -> anyhow::Result<Exit> {
    let observer = Observer::new(context.settings());
    let (facts, checked) = look(&mut || observer.facts(&Words::default()))?;
    let plan = checked.plan();
    let rows = listing::volumes(&facts, plan);
    let used = with_usage.then(|| usage::of_rows(&rows, &facts));
    let used = used.as_deref();
    let of_row = |(at, row)| row_json(row, used.and_then(|used| used.get(at)));
    let value = || {
        json!({
            "volumes": rows.iter().enumerate().map(of_row).collect::<Vec<_>>(),
            "authorities": authorities_json(&facts),
            "doubts": reasons_json(&plan.doubts),
        })
    };
    if context.output.is_json() {
        context.output.json(&value())?;
    } else {
        context
            .output
            .text(&table(&rows, used, &plan.doubts, context))?;
    }
    Ok(Exit::Done)
}

fn table(
    rows: &[VolumeRow],
    used: Option<&[Used]>,
    doubts: &[crate::decide::guards::Reason],
    context: &Context,
) -> String {
    let mut columns = vec![
        ("STATE", Align::Left),
        ("ROLE", Align::Left),
        ("ID", Align::Left),
        ("APP", Align::Left),
        ("DISK", Align::Left),
        ("MB", Align::Right),
    ];
    if used.is_some() {
        columns.extend([
            ("USED MB", Align::Right),
            ("FILES", Align::Right),
            ("COUNTED BY", Align::Left),
        ]);
    }
    columns.push(("REASONS", Align::Left));
    let mut table = Table::new(&columns);
    for (at, row) in rows.iter().enumerate() {
        let (role, id) = match &row.key {
            Some(key) => (key.role.to_string(), key.id.to_string()),
            None => ("-".to_owned(), row.path.to_string()),
        };
        let app = row
            .key
            .as_ref()
            .and_then(|key| key.id.marathon())
            .map_or_else(
                || "-".to_owned(),
                |volume| format!("{}:{}", volume.app, volume.container_path),
            );
        let mut codes: Vec<&str> = row
            .reasons
            .iter()
            .map(|reason| reason.code.code())
            .collect();
        codes.dedup();
        let mut cells = vec![
            row.state.word().to_owned(),
            role,
            id,
            app,
            row.disk
                .as_ref()
                .map_or_else(|| "-".to_owned(), ToString::to_string),
            row.size
                .map_or_else(|| "-".to_owned(), |size| size.to_string()),
        ];
        if let Some(used) = used {
            cells.extend(usage::cells(used.get(at)));
        }
        cells.push(codes.join(","));
        table.row(cells);
    }
    let mut text = Text::new();
    for doubt in doubts {
        text.line(format_args!("doubt: {doubt}; {}", doubt.code.remedy()));
    }
    for row in rows.iter().filter(|row| row.state == VolumeState::Vanished) {
        if let Some(key) = &row.key {
            text.line(format_args!(
                "vanished: the directory of {key} is missing, its next task fails; mount the right \
                 disk, or `mesos-volumed volumes recreate {key} --confirm {}` for an empty one",
                key.id
            ));
        }
    }
    let table = context.output.rendered(&table);
    if table.is_empty() {
        text.line("no volumes");
    }
    format!("{table}{}", text.into_string())
}

/// A name as text, with its exact bytes beside it where it is not UTF-8.
fn put(object: &mut serde_json::Map<String, Value>, name: &str, value: &Raw) {
    object.insert(name.to_owned(), json!(value.to_string()));
    if let Some(base64) = value.base64_if_not_utf8() {
        object.insert(format!("{name}_base64"), json!(base64));
    }
}

/// With what it takes up, where that was looked at.
fn row_json(row: &VolumeRow, used: Option<&Used>) -> Value {
    let mut object = serde_json::Map::new();
    if let Some(key) = &row.key {
        put(&mut object, "id", key.id.as_raw());
        put(&mut object, "role", key.role.as_raw());
    } else {
        object.insert("id".to_owned(), Value::Null);
        object.insert("role".to_owned(), Value::Null);
    }
    let disk = row.disk.as_ref().map(|disk| {
        let mut object = serde_json::Map::new();
        object.insert("type".to_owned(), json!(disk.kind));
        put(&mut object, "root", &disk.root);
        Value::Object(object)
    });
    object.insert("disk".to_owned(), json!(disk));
    put(&mut object, "path", &row.path);
    object.insert("state".to_owned(), json!(row.state));
    object.insert(
        "size_mb".to_owned(),
        json!(row.size.map(crate::units::Megabytes::as_f64)),
    );
    object.insert(
        "principal".to_owned(),
        json!(row.principal.as_ref().map(ToString::to_string)),
    );
    let app = row.key.as_ref().and_then(|key| key.id.marathon());
    object.insert("app".to_owned(), json!(app));
    object.insert("trash".to_owned(), json!(row.trash));
    object.insert("reasons".to_owned(), reasons_json(&row.reasons));
    if let Some(used) = used {
        object.insert("usage".to_owned(), usage::json(used));
    }
    Value::Object(object)
}

/// Each authority with how it was read.
fn authorities_json(facts: &Facts) -> Value {
    // No bytes are legal in resources.info ("nothing"), and a lost write in the newer file.
    fn known<T>(value: &Known<T>) -> Value {
        match value {
            Known::Known(_) => json!({ "state": "known" }),
            Known::Absent => json!({ "state": "absent" }),
            Known::Unknown(why) => json!({ "state": "unknown", "reason": why }),
        }
    }
    fn file<T>(file: &CheckpointFile<T>, empty: &str) -> Value {
        match file {
            CheckpointFile::Whole(_) => json!({ "state": "known" }),
            CheckpointFile::Missing => json!({ "state": "absent" }),
            CheckpointFile::Empty => json!({ "state": empty, "reason": "it has 0 bytes" }),
            CheckpointFile::Damaged(why) => json!({ "state": "unknown", "reason": why }),
        }
    }
    let answer = match &facts.answer {
        AgentAnswer::NotConfigured => json!({ "state": "absent", "reason": "agent.url is empty" }),
        AgentAnswer::Refused => json!({ "state": "absent", "reason": "connection refused" }),
        AgentAnswer::Recovering => json!({ "state": "unknown", "reason": "the agent recovers" }),
        AgentAnswer::Unknown(why) => json!({ "state": "unknown", "reason": why }),
        AgentAnswer::State(_) => json!({ "state": "known" }),
    };
    json!({
        "resources_and_operations.state": file(&facts.checkpoint.state, "unknown"),
        "resources_and_operations.target": file(&facts.checkpoint.state_target, "unknown"),
        "resources.info": file(&facts.checkpoint.info, "empty"),
        "resources.target": file(&facts.checkpoint.info_target, "empty"),
        "resource_providers": known(&facts.providers),
        "tasks": known(&facts.tasks),
        "agent_processes": known(&facts.agent.processes),
        "agent_pids": our_agents(&facts.agent),
        "agent_state": answer,
        "holders": known(&facts.holders),
        "memory": known(&facts.memory),
    })
}

fn recreate(volume: &str, confirm: &str, context: &Context) -> anyhow::Result<Exit> {
    let key = volume_key(volume)?;
    confirmed(&key, confirm)?;
    let owner = Owner::new(context)?;
    let words = Words {
        recreate: Some(key.clone()),
        ..Words::default()
    };
    let pass = owner.pass(&words)?;
    sweep::print(context, &pass)?;
    let made = pass.outcomes.iter().any(|step| {
        step.step == "create" && matches!(step.outcome, Outcome::Done(_) | Outcome::Identity)
    });
    let rows = listing::volumes(&pass.facts, &pass.last);
    let there = rows
        .iter()
        .any(|row| row.key.as_ref() == Some(&key) && row.state == VolumeState::Held);
    if pass.failed() {
        return Ok(Exit::Error);
    }
    if made || there {
        return Ok(Exit::Done);
    }
    Err(anyhow!(
        "{key} was not made: it is not a held ROOT or PATH volume whose directory is missing on a \
         root that can be used; see `mesos-volumed volumes list`"
    ))
    .exit(Exit::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_named_by_role_and_id() {
        let key = volume_key("eng/dev/a#b#c").unwrap();
        assert_eq!(
            (key.role.to_string(), key.id.to_string()),
            ("eng/dev".into(), "a#b#c".into())
        );
        for text in ["", "a", "/a", "a/"] {
            let error = volume_key(text).unwrap_err().to_string();
            assert!(error.contains("write role/persistence-id"), "{error}");
        }
    }

    #[test]
    fn a_confirmation_must_be_the_id_itself() {
        let key = volume_key("r/data").unwrap();
        assert!(confirmed(&key, "data").is_ok());
        for wrong in ["", "Data", "r/data", "data "] {
            assert!(confirmed(&key, wrong).is_err(), "{wrong}");
        }
    }
}
