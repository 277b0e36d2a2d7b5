//! Everything that `doctor` examines, observed on this host.

use std::collections::{BTreeMap, BTreeSet};

use nix::unistd::Group;

use super::clients;
use super::observer::Observer;
use super::pass::{PassError, look};
use super::preflight::{self, Request};
use crate::act::wipe::fence;
use crate::config::{AccessFiles, Settings};
use crate::decide::check::CheckedPlan;
use crate::decide::doctor::{Finding, Patient, examine};
use crate::decide::facts::{
    DoctorFacts, Facts, FileAccess, Known, SocketAccess, VolumeLook, VolumeUse, Words,
};
use crate::decide::preflight::{PreflightInput, volumes};
use crate::observe::places::Places;
use crate::observe::start::{self, Looker, StartError};
use crate::observe::{doctor, master, state_dir};
use crate::units::{Raw, chain};

use super::observer::ObserverError;

/// A host that was looked at.
#[derive(Debug)]
pub struct Looked {
    facts: Facts,
    checked: CheckedPlan,
    host: DoctorFacts,
    start: Result<PreflightInput, String>,
}

impl Looked {
    /// Looks at this host. Changes nothing. `notes` are those of the configuration.
    ///
    /// # Errors
    /// Where there are no facts at all.
    pub fn at(settings: &Settings, notes: Vec<String>) -> Result<Self, PassError<ObserverError>> {
        let observer = Observer::new(settings);
        let (facts, checked) = look(&mut || observer.facts(&Words::default()))?;
        let places = Places::default();
        let start = preflight::observe(settings, &Request::default()).map_err(|why| chain(&why));
        let work_dir = &settings.agent.work_dir;
        let looks = match &start {
            Ok(input) => Known::Known(input.facts.volumes.clone()),
            // What the agent is started with is not known; what it would delete is.
            Err(_) => match deletable(&places, work_dir) {
                Ok(looks) => Known::Known(looks),
                Err(error) => Known::unknown(chain(&error)),
            },
        };
        let state_dir = Raw::from(settings.daemon.state_dir.as_path());
        let host = DoctorFacts {
            openat2: doctor::openat2(),
            fence: fence(),
            volumes: looks,
            boot_mounts: doctor::boot_mounts(&places),
            units: doctor::unit_orders(&places),
            errors: doctor::errors(&places, &facts.roots).into_iter().collect(),
            files: files(settings),
            state_written: doctor::state_written(work_dir),
            info_target_written: doctor::info_target_written(work_dir),
            frameworks: frameworks(settings),
            usage: None,
            measured: observer.measured(&facts),
            ledger: state_dir::ledger(&state_dir).map(drop),
            projects: doctor::projects(&facts.roots),
            socket: socket(settings),
            notes,
        };
        Ok(Self {
            facts,
            checked,
            host,
            start,
        })
    }

    /// What a pass saw.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The plan of these facts.
    #[must_use]
    pub fn plan(&self) -> &crate::decide::plan::Plan {
        self.checked.plan()
    }

    /// Adds what volumes take up.
    #[must_use]
    pub fn with_usage(mut self, usage: Vec<VolumeUse>) -> Self {
        self.host.usage = Some(usage);
        self
    }

    /// Everything that is wrong, the most harmful first.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        examine(Patient {
            facts: &self.facts,
            plan: self.checked.plan(),
            host: &self.host,
            start: self.start.as_ref().map_err(String::as_str),
        })
    }
}

fn fence() -> Known<()> {
    if fence::is_there() {
        Known::Known(())
    } else {
        Known::Absent
    }
}

/// The API's socket, as it is and as it should be.
fn socket(settings: &Settings) -> Known<SocketAccess> {
    let daemon = &settings.daemon;
    let Some(path) = &daemon.socket else {
        return Known::Absent;
    };
    let wanted = if daemon.socket_group.is_empty() {
        None
    } else {
        match Group::from_name(&daemon.socket_group) {
            Ok(group) => Some((
                daemon.socket_group.clone(),
                group.map(|group| group.gid.as_raw()),
            )),
            Err(errno) => {
                let name = &daemon.socket_group;
                return Known::unknown(format!("group {name} can't be looked up: {errno}"));
            }
        }
    };
    doctor::socket(path, wanted)
}

/// The directories of volumes that a start may delete.
fn deletable(places: &Places, work_dir: &Raw) -> Result<BTreeMap<Raw, VolumeLook>, StartError> {
    let facts = start::files(places, work_dir)?;
    Ok(Looker::new(places)?.volumes(&volumes(&facts)))
}

/// Nobody but root reads what is ours, nor the files with secrets, and nobody but root writes the
/// others.
fn files(settings: &Settings) -> Vec<FileAccess> {
    const SECRET: u32 = 0o077;
    const PUBLIC: u32 = 0o022;
    let state_dir = &settings.daemon.state_dir;
    let mut found = vec![doctor::access(state_dir, "state directory", SECRET)];
    for name in ["memory.json", "ledger.json", "gate.json"] {
        found.push(doctor::access(&state_dir.join(name), "state file", PUBLIC));
    }
    let all = [
        &settings.agent.access,
        &settings.master.access,
        &settings.marathon.access,
        &settings.fleet.access,
    ];
    for AccessFiles {
        credentials,
        token,
        authorities,
        certificate,
        key,
    } in all
    {
        for secret in [credentials, token, key].into_iter().flatten() {
            found.push(doctor::access(secret, "file with a secret", SECRET));
        }
        for public in [authorities, certificate].into_iter().flatten() {
            found.push(doctor::access(public, "certificate", PUBLIC));
        }
    }
    found
}

/// The ids of the frameworks that the master knows.
fn frameworks(settings: &Settings) -> Known<BTreeSet<Raw>> {
    if settings.master.urls.is_empty() {
        return Known::Absent;
    }
    let site = match clients::master(settings) {
        Ok(site) => site,
        Err(error) => return Known::unknown(chain(&error)),
    };
    match master::frameworks(&site) {
        Ok(frameworks) => Known::Known(frameworks.present.into_iter().map(|one| one.id).collect()),
        Err(error) => Known::unknown(chain(&error)),
    }
}
