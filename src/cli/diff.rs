//! `diff`: what the agent has against what `resources` would write.

use serde_json::{Value, json};

use super::{Align, Context, Exit, Table, preflight, resources};
use crate::daemon::preflight::{Request, observe};
use crate::decide::facts::{FlagText, Known};
use crate::decide::preflight::compare::{Change, Line, lines};
use crate::decide::preflight::{PreflightInput, PreflightReport, preflight as judge};
use crate::mesos::ids::Role;
use crate::mesos::resources::Resources;
use crate::mesos::resources_json::read_resources;
use crate::units::Raw;

/// Show the agent's present resources against what `resources` would write
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Prints one line an entry: what the agent registered with (slave.info), what it is told now \
        (its flags), and what `mesos-volumed resources` would write; then whether the agent recovers with \
        that. Makes and changes nothing.",
    after_help = "\
Example: mesos-volumed diff --output json | jq '.entries[] | select(.change != \"same\")'
  shows the entries that would change"
)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let proposed = resources::proposed(context)?;
    let request = Request {
        text: Some(FlagText {
            text: proposed,
            from: "mesos-volumed resources".to_owned(),
        }),
        ..Request::default()
    };
    let input = observe(context.settings(), &request)?;
    let report = judge(&input);
    let told = told(&input);
    let rows = rows(&input, &report, told.as_ref());
    context.output.value_or(&json(&rows, &report), |output| {
        format!(
            "{}{} with what would be written\n",
            output.rendered(&table(&rows)),
            preflight::sentence(&report.verdict)
        )
    })?;
    Ok(Exit::Done)
}

/// What the agent is told now, where that can be read.
fn told(input: &PreflightInput) -> Option<Resources> {
    let text = input.flags.resources.known()?;
    let unreserved = Role::new("*");
    let role = match &input.flags.default_role {
        Known::Known(role) => role,
        Known::Absent | Known::Unknown(_) => &unreserved,
    };
    let read = read_resources(&text.text, role).ok()?;
    Some(read.resources)
}

/// An entry, three times.
struct Row {
    what: String,
    registered: Option<String>,
    told: Option<String>,
    proposed: Option<String>,
    change: Change,
}

fn rows(input: &PreflightInput, report: &PreflightReport, told: Option<&Resources>) -> Vec<Row> {
    let nothing = Resources::default();
    let registered = input.facts.info.whole().map(|info| &info.resources);
    // What is told may lack what the agent detects by itself; what is proposed has it.
    let against = registered.or(told).unwrap_or(&nothing);
    let of_told = told.map(|told| lines(told, &report.resources));
    lines(against, &report.resources)
        .into_iter()
        .map(|line| {
            let told = of_told
                .iter()
                .flatten()
                .find(|other| other.what == line.what)
                .and_then(|other| other.before.clone());
            row(line, registered.is_some(), told)
        })
        .collect()
}

fn row(line: Line, is_registered: bool, told: Option<String>) -> Row {
    Row {
        change: line.change(),
        registered: line.before.filter(|_| is_registered),
        proposed: line.after,
        what: line.what,
        told,
    }
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        ("WHAT", Align::Left),
        ("REGISTERED", Align::Right),
        ("TOLD", Align::Right),
        ("PROPOSED", Align::Right),
        ("CHANGE", Align::Left),
    ]);
    for row in rows {
        let or_dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        table.row([
            Raw::from(row.what.as_str()).to_string(),
            or_dash(&row.registered),
            or_dash(&row.told),
            or_dash(&row.proposed),
            row.change.as_str().to_owned(),
        ]);
    }
    table
}

fn json(rows: &[Row], report: &PreflightReport) -> Value {
    json!({
        "entries": rows
            .iter()
            .map(|row| json!({
                "what": row.what,
                "registered": row.registered,
                "told": row.told,
                "proposed": row.proposed,
                "change": row.change.as_str(),
            }))
            .collect::<Vec<_>>(),
        "verdict": preflight::word(&report.verdict),
    })
}
