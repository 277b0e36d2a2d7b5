//! The disk entries of `--resources`, and the ledger after they were written.

use super::adopt::AdoptedFrom;
use super::discover::{Code, Discovery, DiskVerdict, Form, LastGood, Rejection};
use super::facts::DiskRules;
use super::ledger::{Ledger, LedgerChange, LedgerPart, LedgerPlace, LedgerRoot};
use super::preflight::missing::Emit;
use crate::mesos::disk::{DiskRef, DiskType, SourceExtras};
use crate::mesos::ids::Role;
use crate::units::Megabytes;

/// One disk entry of `--resources`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// Type and root.
    pub disk: DiskRef,
    /// Static role; `*` for none.
    pub role: Role,
    /// The number; 0 for a ROOT that is not offered.
    pub number: Megabytes,
    /// Where the number comes from.
    pub because: String,
    /// What its source says beside type and root.
    pub extras: SourceExtras,
    /// Whether an agent has it already: see [`crate::mesos::resources_json::DiskEntry`].
    pub known: bool,
    /// Where the number was found, if it is not ours.
    pub adopted: Option<AdoptedFrom>,
    /// What it lies on; `None` where it is not seen now.
    pub on: Option<LedgerPlace>,
}

/// The disk entries of `--resources`, and what is wrong with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertisement {
    /// ROOT first, then PATH and MOUNT by root: the same disks always in the same order. Parts of
    /// one root with several roles stand together, the one that may grow first.
    pub disks: Vec<Advertised>,
    /// Disks that were advertised before, or that the agent has, and that can't be offered now.
    /// Some are among the entries with their last good number, some are left out: see
    /// [`super::preflight::missing`]. The remedy says what an agent does that starts so.
    pub degraded: Vec<(DiskRef, Rejection)>,
    /// Disks that the rules name and that are not written, because an agent would not start with
    /// them; and disks that stay although the configuration takes them out.
    pub held_back: Vec<(DiskRef, Rejection)>,
}

impl Advertisement {
    /// Whether an entry of this disk is written.
    #[must_use]
    pub fn has(&self, disk: &DiskRef) -> bool {
        self.disks.iter().any(|entry| entry.disk == *disk)
    }

    /// What the operator must hear: a sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let degraded = self.degraded.iter().map(|(disk, rejection)| {
            let how = if self.has(disk) {
                "is advertised with its last good number"
            } else {
                "is left out"
            };
            format!("{disk} {how}: {}", sentence(rejection))
        });
        let held_back = self.held_back.iter().map(|(disk, rejection)| {
            let how = if self.has(disk) {
                "stays"
            } else {
                "is not added"
            };
            format!("{disk} {how}: {}", sentence(rejection))
        });
        degraded.chain(held_back).collect()
    }
}

fn sentence(rejection: &Rejection) -> String {
    match &rejection.remedy {
        Some(remedy) => format!("{} ({}); {remedy}", rejection.sentence, rejection.code),
        None => format!("{} ({})", rejection.sentence, rejection.code),
    }
}

/// Why no disk entries can be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdvertiseError {
    /// Without an entry for ROOT the agent would offer none, or detect one by itself.
    #[error(
        "the ROOT disk {root} has no number: {} ({}); mend that, or set root.advertise = false to \
         offer no ROOT disk",
        .rejection.sentence,
        .rejection.code
    )]
    NoRoot {
        /// `agent.work_dir`.
        root: crate::units::Raw,
        /// Why it is not offered.
        rejection: Rejection,
    },
    /// Without the ledger no number is known.
    #[error("no numbers can be given without the ledger: {why}; the old resources stay")]
    Ledger {
        /// Why it can't be read, with the remedy.
        why: String,
    },
    /// No number was ever written, and the ones that an agent has can't be read.
    #[error(
        "which numbers the agent has can't be told ({why}), and others would keep it from \
         starting; mend that, see `mesos-volumed preflight`"
    )]
    Unread {
        /// What can't be read.
        why: String,
    },
}

/// The disk entries for what discovery offers. ROOT is always written out: one entry of any disk
/// keeps the agent from detecting it (F§1.7), so a ROOT that shall not be offered is an entry of 0,
/// which the agent drops (F§1.6).
///
/// # Errors
/// When ROOT is to be offered, is not, and was never advertised before.
pub fn advertise(
    discovery: &Discovery,
    rules: &DiskRules,
) -> Result<Advertisement, AdvertiseError> {
    let mut advertisement = Advertisement::default();
    let mut seen: Vec<&DiskRef> = Vec::new();
    for verdict in &discovery.disks {
        let Some(disk) = &verdict.disk else {
            continue;
        };
        if seen.contains(&disk) {
            // A second mount at the same mount point, hidden by the first.
            continue;
        }
        seen.push(disk);
        if let Some(offer) = verdict.offer() {
            let because = offer.reason.to_string();
            add(
                &mut advertisement.disks,
                disk,
                &offer.form,
                (offer.number, because),
                Some(&offer.on),
            );
            // A number that the rule moved is ours.
            if let Some(entry) = advertisement.disks.iter_mut().find(|one| one.disk == *disk) {
                entry.adopted.clone_from(&offer.reason.adopted);
            }
        } else if let Some(rejection) = verdict.rejection() {
            rejected(&mut advertisement, verdict, disk, rejection, rules)?;
        }
    }
    advertisement.disks.sort_by(|a, b| a.disk.cmp(&b.disk));
    Ok(advertisement)
}

fn rejected(
    advertisement: &mut Advertisement,
    verdict: &DiskVerdict,
    disk: &DiskRef,
    rejection: &Rejection,
    rules: &DiskRules,
) -> Result<(), AdvertiseError> {
    let told = || (disk.clone(), rejection.clone());
    let is_written = match &verdict.last_good {
        None => false,
        Some(LastGood {
            emit: Emit::LeaveOut,
            degrades,
            ..
        }) => {
            if *degrades {
                advertisement.degraded.push(told());
            }
            false
        }
        Some(last_good) => {
            if last_good.degrades {
                advertisement.degraded.push(told());
            } else {
                advertisement.held_back.push(told());
            }
            let because = format!(
                "last good number: {} ({})",
                rejection.sentence, rejection.code
            );
            let number = (last_good.number, because);
            add(
                &mut advertisement.disks,
                disk,
                &last_good.form,
                number,
                None,
            );
            true
        }
    };
    if rejection.code == Code::NeedsAdditive {
        advertisement.held_back.push(told());
    }
    if is_written || disk.kind != DiskType::Root {
        return Ok(());
    }
    if rules.root.advertise && rejection.code != Code::NeedsAdditive {
        return Err(AdvertiseError::NoRoot {
            root: disk.root.clone(),
            rejection: rejection.clone(),
        });
    }
    advertisement.disks.push(Advertised {
        disk: disk.clone(),
        role: Role::new("*"),
        number: Megabytes::default(),
        because: rejection.sentence.clone(),
        extras: SourceExtras::default(),
        known: false,
        adopted: None,
        on: None,
    });
    Ok(())
}

/// The entry of a disk, and those of its other parts.
fn add(
    disks: &mut Vec<Advertised>,
    disk: &DiskRef,
    form: &Form,
    (number, because): (Megabytes, String),
    on: Option<&LedgerPlace>,
) {
    let entry = |role: &Role, number, because| Advertised {
        disk: disk.clone(),
        role: role.clone(),
        number,
        because,
        extras: form.known.clone().unwrap_or_default(),
        known: form.known.is_some(),
        adopted: form.adopted.clone(),
        on: on.cloned(),
    };
    disks.push(entry(&form.role, number, because));
    for (role, number) in &form.parts {
        let because = "kept as the agent has it: a part of the root with a role of its own";
        disks.push(entry(role, *number, because.to_owned()));
    }
}

/// How long a sight is not worth a write, in seconds.
const SEEN: i64 = 3600;

/// The ledger after these entries were written, at this time (seconds since 1970); the same ledger
/// when nothing changed and every root was seen within the hour. What is no longer advertised stays
/// in it: the number must be the same if the disk comes back.
#[must_use]
pub fn recorded(ledger: &Ledger, advertisement: &Advertisement, now: i64) -> Ledger {
    let mut ledger = ledger.clone();
    let mut last: Option<&DiskRef> = None;
    for entry in &advertisement.disks {
        let is_part = last.replace(&entry.disk) == Some(&entry.disk);
        // A last good number was recorded when it was good.
        if is_part || entry.on.is_none() && entry.number != Megabytes::default() {
            continue;
        }
        let known = ledger
            .root_spelt_in_any_way(&entry.disk)
            .map(|known| &known.disk);
        let index = ledger
            .roots
            .iter()
            .position(|one| Some(&one.disk) == known)
            .unwrap_or_else(|| {
                ledger.roots.push(LedgerRoot::new(entry.disk.clone(), now));
                ledger.roots.len().saturating_sub(1)
            });
        let parts: Vec<LedgerPart> = advertisement
            .disks
            .iter()
            .filter(|one| one.disk == entry.disk && one.role != entry.role)
            .map(|one| LedgerPart {
                role: one.role.clone(),
                advertised: one.number,
            })
            .collect();
        if let Some(known) = ledger.roots.get_mut(index) {
            record(known, entry, parts, now);
        }
    }
    ledger
}

fn record(known: &mut LedgerRoot, entry: &Advertised, parts: Vec<LedgerPart>, now: i64) {
    let mut changes = Vec::new();
    match known.advertised {
        None => changes.push(match &entry.adopted {
            Some(from) => format!("{} MB adopted from {from}", entry.number),
            None => format!("advertised with {} MB: {}", entry.number, entry.because),
        }),
        Some(before) if before != entry.number => changes.push(format!(
            "{before} MB became {} MB: {}",
            entry.number, entry.because
        )),
        Some(_) => {}
    }
    if known.role.as_ref() != Some(&entry.role) && known.advertised.is_some() {
        changes.push(format!("its role became {}", entry.role));
    }
    if known.disk != entry.disk {
        changes.push(format!("the agent spells it {}", entry.disk.root));
    }
    if let (Some(before), Some(on)) = (&known.place, &entry.on)
        && before.mount_point != on.mount_point
    {
        changes.push(format!("it lies on the mount at {}", on.mount_point));
    }
    if !changes.is_empty() || now.saturating_sub(known.last_seen) >= SEEN {
        known.last_seen = now;
    }
    known.disk = entry.disk.clone();
    known.advertised = Some(entry.number);
    known.role = Some(entry.role.clone());
    known.extras = entry.extras.clone();
    known.adopted.clone_from(&entry.adopted);
    known.parts = parts;
    if entry.on.is_some() {
        known.place.clone_from(&entry.on);
    }
    known.changes.extend(
        changes
            .into_iter()
            .map(|what| LedgerChange { at: now, what }),
    );
}

#[cfg(test)]
mod tests;
