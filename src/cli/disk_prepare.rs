//! `disk prepare`.

use clap::ValueEnum;

use super::disk_steps::{Shown, outcome, refused};
use super::{Context, Exit, WithExit};
use crate::act::prepare::{PrepareError, PrepareLock, prepare};
use crate::act::store::Store;
use crate::decide::facts::{PrepareRequest, PreparedFs};
use crate::decide::prepare::prepare as decide;
use crate::mesos::disk::DiskType;
use crate::observe::places::Places;
use crate::observe::prepare::observe;
use crate::units::Raw;

/// Make a bare device a disk for Mesos: file system, mounts, marker
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: mesos-volumed disk prepare /dev/sdb --as mount --at /dcos/volume0 --fs xfs --confirm 5QH0D0YN
  after a look at what it would do, with --dry-run

The device must be bare: not mounted, no partition, no signature, in use by nobody, and zeros at its
beginning and end. Everything on it is lost. It is confirmed by its serial number; by its world-wide
name where it has none; by its own name (loop3) where no hardware is behind it.

MOUNT: the file system is mounted below the state folder, and its folder `volume` is bound to DIR, so
that trash and marker lie out of the tenant's sight. The bare folders below both mounts are immutable.
Interrupted, the same command goes on where it stopped. `disk release` takes all of it back.")]
pub(super) struct Args {
    /// The device, such as /dev/sdb
    #[arg(value_name = "DEVICE")]
    device: std::path::PathBuf,
    /// The kind of disk
    #[arg(long = "as", value_enum, value_name = "KIND")]
    kind: Kind,
    /// The root that is advertised; made where it is missing
    #[arg(long, value_name = "DIR")]
    at: std::path::PathBuf,
    /// The file system
    #[arg(long, value_enum, value_name = "TYPE")]
    fs: Fs,
    /// The device's serial number, so that no other one is taken by mistake
    #[arg(long, value_name = "SERIAL")]
    confirm: String,
    /// PATH: make the bare mount point immutable, so that nothing is written to it while the disk is
    /// missing; an agent then ends at its next CREATE there (a MOUNT's always is)
    #[arg(long)]
    immutable_mount_point: bool,
    /// Try every rule and print each command; change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// One volume gets all of it
    Mount,
    /// A directory that is carved up into volumes
    Path,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Fs {
    Xfs,
    Ext4,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let settings = context.settings();
    let rules = settings.disk_rules();
    let kind = match args.kind {
        Kind::Mount => DiskType::Mount,
        Kind::Path => DiskType::Path,
    };
    let request = PrepareRequest {
        device: Raw::from(args.device.as_path()),
        kind,
        at: tidy(&args.at),
        fs: match args.fs {
            Fs::Xfs => PreparedFs::Xfs,
            Fs::Ext4 => PreparedFs::Ext4,
        },
        confirm: Raw::from(args.confirm.as_str()),
        immutable: kind == DiskType::Mount || args.immutable_mount_point,
        uuid: uuid::Uuid::new_v4().to_string(),
        state_dir: Raw::from(settings.daemon.state_dir.as_path()),
        work_dir: rules.work_dir,
        min_size: rules.discovery.min_size,
    };
    let store = if args.dry_run {
        None
    } else {
        Some(Store::open(&settings.daemon.state_dir)?)
    };
    let _lock = store.as_ref().map(lock).transpose()?;
    let facts = observe(&Places::default(), &request)?;
    let decision = decide(&request, &facts);
    let Some(plan) = decision.plan else {
        let what = format!("{} was not prepared", request.device);
        return refused(context, &decision.tried, &what);
    };
    let Some(store) = store else {
        let more = (!plan.resumed()).then_some("# the UUID is chosen anew by the run itself");
        let shown = Shown {
            tried: &decision.tried,
            record: Some(plan.record()),
            notes: plan.notes(),
        };
        return shown.dry_run(context, plan.steps(), more);
    };
    let record = plan.record().clone();
    let said = plan.notes().to_vec();
    let mut outcomes = Vec::new();
    let done = prepare(&store, plan, &mut |step, change| {
        outcomes.push(outcome(step, change));
    });
    let end = done.is_ok().then(|| {
        format!(
            "{} is {} on {} {}",
            record.device,
            record.disk,
            record.fs.name(),
            record.uuid
        )
    });
    let shown = Shown {
        tried: &decision.tried,
        record: Some(&record),
        notes: &said,
    };
    shown.outcomes(context, &outcomes, end)?;
    match done {
        Ok(()) => Ok(Exit::Done),
        Err(error) => Err(anyhow::Error::new(error)
            .context("it was not prepared to the end; the same command goes on")),
    }
}

/// Without a slash at its end or twice.
fn tidy(path: &std::path::Path) -> Raw {
    let mut tidy = Vec::new();
    for part in Raw::from(path).as_bytes().split(|byte| *byte == b'/') {
        if !part.is_empty() || tidy.is_empty() {
            tidy.push(part.to_vec());
        }
    }
    Raw::new(tidy.join(&b'/'))
}

/// Takes the lock of preparations.
pub(super) fn lock(store: &Store) -> anyhow::Result<PrepareLock> {
    match PrepareLock::acquire(store) {
        Ok(lock) => Ok(lock),
        Err(error @ PrepareError::Locked) => Err(error).exit(Exit::Locked),
        Err(error) => Err(error.into()),
    }
}
