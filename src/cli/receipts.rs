//! `receipts`: what was done.

use serde_json::Value;

use super::{Align, Context, Exit, Table, Text, WithExit};
use crate::daemon::answers;
use crate::daemon::answers::receipts::Wanted;
use crate::decide::receipts::AuditRecord;
use crate::observe::{clock, receipts};
use crate::units::{Bytes, Span};

/// Show what was done, by what right, and how it ended
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Reads the audit log in state_dir/audit: two lines for each step that changed what tenants \
        can see, one before it and one after it, with the evidence and what was verified; a line when a guard \
        begins to hold a destroy or an overdue orphan back, one when its reasons change, and one when it is over. \
        Changes nothing.",
    after_help = "\
Example: mesos-volumed receipts --volume slave_public/data --since 7d
  tells what became of a volume in the last week"
)]
pub(super) struct Args {
    /// Only this volume
    #[arg(long, value_name = "ROLE/ID")]
    volume: Option<String>,
    /// Only what is younger: a span such as 24h or 7d, or a moment such as 2026-11-20T12:00:00Z; by
    /// the wall clock
    #[arg(long, value_name = "SPAN OR MOMENT")]
    since: Option<String>,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let mut wanted = Wanted::default();
    if let Some(volume) = &args.volume {
        wanted.volume(volume).exit(Exit::Usage)?;
    }
    if let Some(since) = &args.since {
        wanted
            .since(since, clock::wall_seconds())
            .exit(Exit::Usage)?;
    }
    let state_dir = &context.settings().daemon.state_dir;
    let found = receipts::read(state_dir, &|record| wanted.takes(record))?;
    let answer = answers::receipts::receipts(found);
    context.output.value_or(&answer, |output| {
        let mut text = Text::new();
        text.block(&output.rendered(&table(&answer.receipts)));
        if text.is_empty() {
            text.line("no receipts");
        }
        for place in &answer.damaged {
            text.line(format_args!(
                "warning: {place} is no line of the log; a crash while it was written leaves that"
            ));
        }
        text.into_string()
    })?;
    Ok(Exit::Done)
}

fn table(records: &[AuditRecord]) -> Table {
    let mut table = Table::new(&[
        ("WHEN", Align::Left),
        ("STEP", Align::Left),
        ("EVENT", Align::Left),
        ("SUBJECT", Align::Left),
        ("DETAIL", Align::Left),
    ]);
    for record in records {
        table.row([
            super::date(record.at),
            record.step.clone(),
            record.event.clone(),
            record.subject.clone(),
            detail(record),
        ]);
    }
    table
}

/// What a receipt proves, or why there is none.
fn detail(record: &AuditRecord) -> String {
    if let Some(why) = &record.why {
        return why.clone();
    }
    if let Some(by) = &record.by {
        let login = by
            .login_uid
            .filter(|login| *login != by.uid)
            .map_or_else(String::new, |login| format!(", logged in as {login}"));
        return format!("by user {} ({}{login})", by.uid, by.via);
    }
    let Some(receipt) = &record.receipt else {
        return String::new();
    };
    let number = |name: &str| receipt.get(name).and_then(Value::as_u64).unwrap_or(0);
    let Some(mode) = receipt.get("mode").and_then(Value::as_str) else {
        return String::new();
    };
    let verified = match receipt.get("verified").and_then(Value::as_bool) {
        Some(true) => "verified",
        Some(false) | None => "not verified",
    };
    let reached = receipt
        .pointer("/proof/guarantee")
        .and_then(Value::as_str)
        .map(|reached| format!(" ({reached})"))
        .unwrap_or_default();
    format!(
        "{mode}{reached}: {} files, {} directories, {} freed in {}, {verified}",
        number("files"),
        number("directories"),
        Bytes(number("freed_bytes")),
        Span::milliseconds(number("milliseconds")),
    )
}
