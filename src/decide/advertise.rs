//! The numbers of disks: what each offers of its file system.
//!
//! A number comes from a total, an explicit size or the ledger, never from free space: one that
//! moves while volumes fill keeps the agent from starting (F§6.5).

use super::discover::{Code, Discovery, Rejection};
use super::facts::{DiskRules, SizeRule};
use super::ledger::{Ledger, LedgerChange, LedgerRoot};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::Role;
use crate::units::{Bytes, MIB, Megabytes};

/// What a disk asks of the file system that it lies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// ROOT, PATH or MOUNT.
    pub kind: DiskType,
    /// The rule's number.
    pub size: SizeRule,
    /// Size of the file system.
    pub total: Bytes,
    /// What was advertised before.
    pub earlier: Option<Megabytes>,
    /// Whether a reservation or volume is on the disk; `None`: it can't be told.
    pub held: Option<bool>,
}

impl Claim {
    /// The earlier number, where it must stay: a disk that is held, or that may be, keeps it. Only
    /// the operator's explicit size moves a ROOT or PATH then; a MOUNT never moves while held,
    /// because the agent would not start any more (F§6.4).
    fn kept(&self) -> Option<Share> {
        let number = self.earlier?;
        if self.held == Some(false) {
            return None;
        }
        let asked = match self.size {
            SizeRule::Reserve(_) => None,
            SizeRule::Size(size) => Some(Megabytes::whole(size.whole_megabytes())),
        };
        let holds = match self.held {
            Some(_) => "volumes or reservations are on it",
            None => "whether volumes are on it can't be told",
        };
        match asked {
            Some(asked) if asked != number && self.kind != DiskType::Mount => None,
            Some(asked) if asked != number => Some(Share {
                number,
                because: format!("kept as advertised before, not {asked}: {holds}"),
            }),
            Some(_) | None => Some(Share {
                number,
                because: format!("kept as advertised before: {holds}"),
            }),
        }
    }
}

/// What a disk gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The number.
    pub number: Megabytes,
    /// Where it comes from.
    pub because: String,
}

/// Shares one file system out among these claims, the strongest first, without giving more than
/// there is: numbers that must stay first, then explicit sizes, and the rest to the one that takes
/// all but a reserve. The answers are in the order of the claims.
#[must_use]
pub fn allot(claims: &[Claim]) -> Vec<Result<Share, Rejection>> {
    let kept: Vec<Option<Share>> = claims.iter().map(Claim::kept).collect();
    // In thousandths of a megabyte: an earlier number need not be whole.
    let mut taken: u64 = kept
        .iter()
        .flatten()
        .map(|share| thousandths(share.number))
        .fold(0, u64::saturating_add);
    let rest_taker = claims
        .iter()
        .zip(&kept)
        .position(|(claim, kept)| kept.is_none() && matches!(claim.size, SizeRule::Reserve(_)));
    // What the taker of the rest needs at least: its reserve and one megabyte.
    let needs = |index: usize| match (rest_taker, rest_taker.and_then(|at| claims.get(at))) {
        (Some(at), Some(claim)) if at < index => match claim.size {
            SizeRule::Reserve(reserve) => MIB.saturating_add(reserve.0),
            SizeRule::Size(_) => 0,
        },
        _ => 0,
    };
    let mut shares: Vec<Option<Result<Share, Rejection>>> =
        kept.into_iter().map(|share| share.map(Ok)).collect();
    for (index, claim) in claims.iter().enumerate() {
        let SizeRule::Size(size) = claim.size else {
            continue;
        };
        let Some(share @ None) = shares.get_mut(index) else {
            continue;
        };
        *share = Some(explicit(claim, size, taken, needs(index)).inspect(|given| {
            taken = taken.saturating_add(thousandths(given.number));
        }));
    }
    claims
        .iter()
        .zip(shares)
        .map(|(claim, share)| share.unwrap_or_else(|| rest(claim, taken)))
        .collect()
}

fn thousandths(number: Megabytes) -> u64 {
    u64::try_from(number.thousandths()).unwrap_or(0)
}

/// Bytes that so many thousandths of a megabyte take up, rounded up.
fn in_bytes(thousandths: u64) -> u64 {
    let bytes = u128::from(thousandths)
        .saturating_mul(u128::from(MIB))
        .div_ceil(1000);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn explicit(claim: &Claim, size: Bytes, taken: u64, needed: u64) -> Result<Share, Rejection> {
    let number = Megabytes::whole(size.whole_megabytes());
    if number == Megabytes::default() {
        return Err(Rejection::new(
            Code::TooSmall,
            format!("its size = {size} is less than one megabyte"),
            "set a larger size",
        ));
    }
    let left = claim
        .total
        .0
        .saturating_sub(in_bytes(taken))
        .saturating_sub(needed);
    if in_bytes(thousandths(number)) > left {
        let others = match claim.total.0.saturating_sub(left) {
            0 => String::new(),
            others => format!(
                ", of which {} go to other roots or a reserve",
                Bytes(others)
            ),
        };
        return Err(Rejection::new(
            Code::SizeBeyondFilesystem,
            format!(
                "its size = {size} does not fit into the file system of {}{others}",
                claim.total
            ),
            "set a smaller size",
        ));
    }
    Ok(Share {
        number,
        because: format!("size = {size}"),
    })
}

fn rest(claim: &Claim, taken: u64) -> Result<Share, Rejection> {
    let reserve = match claim.size {
        SizeRule::Reserve(reserve) | SizeRule::Size(reserve) => reserve,
    };
    let others = in_bytes(taken);
    let left = claim
        .total
        .0
        .saturating_sub(reserve.0)
        .saturating_sub(others);
    let because = match others {
        0 => format!("{} less reserve = {reserve}", claim.total),
        others => format!(
            "{} less reserve = {reserve}, less {} of other roots there",
            claim.total,
            Bytes(others)
        ),
    };
    match Bytes(left).whole_megabytes() {
        0 => Err(Rejection::new(
            Code::TooSmall,
            format!("nothing is left: {because}"),
            "lower the reserve, or use a larger disk",
        )),
        megabytes => Ok(Share {
            number: Megabytes::whole(megabytes),
            because,
        }),
    }
}

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
}

/// The disk entries of `--resources`, and what is wrong with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertisement {
    /// ROOT first, then PATH and MOUNT by root: the same disks always in the same order.
    pub disks: Vec<Advertised>,
    /// Disks that were advertised before and can't be offered now. They are among the entries
    /// with their last good number: without it the agent would refuse to start, or start as a new
    /// one.
    pub degraded: Vec<(DiskRef, Rejection)>,
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
    ledger: &Ledger,
) -> Result<Advertisement, AdvertiseError> {
    let mut advertisement = Advertisement::default();
    for verdict in &discovery.disks {
        let Some(disk) = &verdict.disk else {
            continue;
        };
        if advertisement.disks.iter().any(|entry| entry.disk == *disk) {
            // A second mount at the same mount point, hidden by the first.
            continue;
        }
        let role = verdict.role.clone().unwrap_or_else(|| Role::new("*"));
        let Some(rejection) = verdict.rejection() else {
            advertisement
                .disks
                .extend(verdict.offer().map(|offer| Advertised {
                    disk: disk.clone(),
                    role,
                    number: offer.number,
                    because: offer.because.clone(),
                }));
            continue;
        };
        let earlier = ledger.root(disk).and_then(|entry| entry.advertised);
        match earlier {
            Some(number) if !rejection.code.withdraws() => {
                advertisement.disks.push(Advertised {
                    disk: disk.clone(),
                    role,
                    number,
                    because: format!(
                        "last good number: {} ({})",
                        rejection.sentence, rejection.code
                    ),
                });
                advertisement
                    .degraded
                    .push((disk.clone(), rejection.clone()));
            }
            Some(_) | None if disk.kind != DiskType::Root => {}
            Some(_) | None if !rules.root.advertise => advertisement.disks.push(Advertised {
                disk: disk.clone(),
                role: Role::new("*"),
                number: Megabytes::default(),
                because: rejection.sentence.clone(),
            }),
            Some(_) | None => {
                return Err(AdvertiseError::NoRoot {
                    root: disk.root.clone(),
                    rejection: rejection.clone(),
                });
            }
        }
    }
    advertisement.disks.sort_by(|a, b| a.disk.cmp(&b.disk));
    Ok(advertisement)
}

/// The ledger after these entries were written, at this time (seconds since 1970); the same ledger
/// when no number and no role changed. What is no longer advertised stays in it: the number must be
/// the same if the disk comes back.
#[must_use]
pub fn recorded(ledger: &Ledger, advertisement: &Advertisement, now: i64) -> Ledger {
    let mut ledger = ledger.clone();
    for entry in &advertisement.disks {
        let index = ledger
            .roots
            .iter()
            .position(|known| known.disk == entry.disk)
            .unwrap_or_else(|| {
                ledger.roots.push(LedgerRoot {
                    disk: entry.disk.clone(),
                    fingerprint: None,
                    role: None,
                    advertised: None,
                    first_seen: now,
                    last_seen: now,
                    changes: Vec::new(),
                    verified: None,
                });
                ledger.roots.len().saturating_sub(1)
            });
        let Some(known) = ledger.roots.get_mut(index) else {
            continue;
        };
        let is_degraded = advertisement
            .degraded
            .iter()
            .any(|(disk, _)| *disk == entry.disk);
        if is_degraded {
            continue;
        }
        let what = match known.advertised {
            None => format!("advertised with {} MB: {}", entry.number, entry.because),
            Some(before) if before != entry.number => {
                format!("{before} MB became {} MB: {}", entry.number, entry.because)
            }
            Some(_) if known.role.as_ref() != Some(&entry.role) => {
                format!("its role became {}", entry.role)
            }
            Some(_) => continue,
        };
        known.advertised = Some(entry.number);
        known.role = Some(entry.role.clone());
        known.last_seen = now;
        known.changes.push(LedgerChange { at: now, what });
    }
    ledger
}
