//! The numbers of disks: what each offers of its file system.
//!
//! A number comes from a total, an explicit size, the ledger or the agent's own files, never from
//! free space: one that moves while volumes fill keeps the agent from starting (F§6.5).

use std::fmt;

use super::adopt::AdoptedFrom;
use super::discover::{Code, Rejection};
use super::facts::{Known, ReconfigurationPolicy, SizeRule};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::units::{Bytes, MIB, Megabytes};

/// Why a number must stay, or must not fall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptBy {
    /// The agent's checkpoint holds the whole MOUNT, and it must fit exactly (F§6.2).
    HeldMount,
    /// So much is checkpointed there.
    Needed,
    /// The agent registered with it, and `equal` allows no other.
    Equal,
    /// The agent registered with it, and `additive` allows no less.
    Additive,
    /// It was advertised before, and volumes or reservations are on it.
    Held,
    /// It was advertised before, and whether anything is on it can't be told.
    MayBeHeld,
    /// It was advertised before, and nobody asked for less.
    Advertised,
    /// What the agent registered with can't be told.
    Unreadable(String),
}

impl KeptBy {
    /// The code in JSON.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::HeldMount => "held_mount",
            Self::Needed => "needed",
            Self::Equal => "policy_equal",
            Self::Additive => "policy_additive",
            Self::Held => "held",
            Self::MayBeHeld => "maybe_held",
            Self::Advertised => "advertised",
            Self::Unreadable(_) => "agent_unreadable",
        }
    }
}

impl fmt::Display for KeptBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeldMount => f.write_str("the agent holds this MOUNT as a whole, exactly so"),
            Self::Needed => f.write_str("so much is reserved there in the agent's checkpoint"),
            Self::Equal => f.write_str(
                "the agent registered with it, and --reconfiguration_policy=equal allows no other",
            ),
            Self::Additive => f.write_str(
                "the agent registered with it, and --reconfiguration_policy=additive allows no \
                 less",
            ),
            Self::Held => f.write_str("volumes or reservations are on it"),
            Self::MayBeHeld => f.write_str("whether volumes are on it can't be told"),
            Self::Advertised => f.write_str("no less was asked for"),
            Self::Unreadable(why) => {
                write!(f, "what the agent registered with can't be told: {why}")
            }
        }
    }
}

/// Where a number comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An explicit size.
    Size(Bytes),
    /// The file system less a reserve, and less what other roots on it have.
    Reserve {
        /// Its size.
        total: Bytes,
        /// The rule's reserve.
        reserve: Bytes,
        /// What the others have.
        others: Bytes,
    },
    /// It is as it was.
    Kept {
        /// Why.
        by: KeptBy,
        /// What the rule would give, where that is something else.
        asked: Option<Megabytes>,
    },
}

/// Where a number comes from, and who found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberReason {
    /// Where it comes from.
    pub origin: Origin,
    /// Whose number it was before it was ours.
    pub adopted: Option<AdoptedFrom>,
}

impl NumberReason {
    /// The code in JSON.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match &self.origin {
            Origin::Size(_) => "size",
            Origin::Reserve { .. } => "reserve",
            Origin::Kept { by, .. } => by.as_str(),
        }
    }
}

impl fmt::Display for NumberReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Size(size) => write!(f, "size = {size}")?,
            Origin::Reserve {
                total,
                reserve,
                others: Bytes(0),
            } => write!(f, "{total} less reserve = {reserve}")?,
            Origin::Reserve {
                total,
                reserve,
                others,
            } => write!(
                f,
                "{total} less reserve = {reserve}, less {others} of other roots there"
            )?,
            Origin::Kept { by, asked } => {
                f.write_str("kept as ")?;
                match by {
                    KeptBy::HeldMount | KeptBy::Needed => f.write_str("the agent has it")?,
                    KeptBy::Equal
                    | KeptBy::Additive
                    | KeptBy::Held
                    | KeptBy::MayBeHeld
                    | KeptBy::Advertised
                    | KeptBy::Unreadable(_) => f.write_str("advertised before")?,
                }
                if let Some(asked) = asked {
                    write!(f, ", not {asked}")?;
                }
                write!(f, ": {by}")?;
            }
        }
        match &self.adopted {
            Some(from) => write!(f, " (adopted from {from})"),
            None => Ok(()),
        }
    }
}

/// How far a number may move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// As the rule says.
    Free,
    /// Not below this.
    AtLeast(Megabytes, KeptBy),
    /// Not at all.
    Exactly(Megabytes, KeptBy),
}

impl Pin {
    /// What it needs at least.
    #[must_use]
    pub fn least(&self) -> Megabytes {
        match self {
            Self::Free => Megabytes::default(),
            Self::AtLeast(number, _) | Self::Exactly(number, _) => *number,
        }
    }
}

/// What is known of one part of a disk: the question whether its number may move.
#[derive(Clone, Debug)]
pub struct Standing<'a> {
    /// ROOT, PATH or MOUNT.
    pub kind: DiskType,
    /// What the agent registered with. `Absent`: no id would be kept. `Known(None)`: an id would
    /// be kept, and this is not among its disks.
    pub registered: Known<Option<Megabytes>>,
    /// What is held there in the files that the agent believes.
    pub needed: Option<Megabytes>,
    /// What was advertised before.
    pub earlier: Option<Megabytes>,
    /// Whether a reservation or volume is on the disk; `None`: it can't be told.
    pub held: Option<bool>,
    /// The rule's number; `None`: as it is.
    pub size: Option<SizeRule>,
    /// The agent's policy.
    pub policy: ReconfigurationPolicy,
    /// The disk, for sentences.
    pub disk: &'a DiskRef,
}

impl Standing<'_> {
    /// How far the number may move. An error: there must be no such entry.
    pub fn pin(&self) -> Result<Pin, Rejection> {
        if let (DiskType::Mount, Some(number)) = (self.kind, self.needed) {
            return Ok(Pin::Exactly(number, KeptBy::HeldMount));
        }
        match &self.registered {
            Known::Absent => Ok(self.without_id()),
            Known::Unknown(why) => match self.earlier {
                Some(number) => Ok(self.not_below_need(number, KeptBy::Unreadable(why.0.clone()))),
                None => Err(Rejection::new(
                    Code::Unreadable,
                    format!("what the agent registered with can't be told: {why}"),
                    "mend the agent's files (see `mesos-volumed preflight`), then look again",
                )),
            },
            Known::Known(Some(registered)) => Ok(self.with_id(*registered)),
            Known::Known(None) => match (self.policy, self.needed) {
                // It does not fit without.
                (_, Some(_)) | (ReconfigurationPolicy::Additive, None) => Ok(self.added()),
                (ReconfigurationPolicy::Equal, None) => Err(Rejection::new(
                    Code::NeedsAdditive,
                    format!(
                        "the agent registered without {}, and with \
                         --reconfiguration_policy=equal it would not start with it",
                        self.disk
                    ),
                    "start the agent with --reconfiguration_policy=additive and set \
                     resources.policy = \"additive\"; or, with the agent stopped, remove \
                     meta/slaves/latest, and it comes up under a new agent id",
                )),
            },
        }
    }

    /// A number that stays, unless more than it is held.
    fn not_below_need(&self, number: Megabytes, by: KeptBy) -> Pin {
        match self.needed {
            Some(needed) if needed > number => Pin::Exactly(needed, KeptBy::Needed),
            Some(_) | None => Pin::Exactly(number, by),
        }
    }

    fn with_id(&self, registered: Megabytes) -> Pin {
        match self.policy {
            ReconfigurationPolicy::Equal => self.not_below_need(registered, KeptBy::Equal),
            ReconfigurationPolicy::Additive => {
                let mut least = (registered, KeptBy::Additive);
                if let Some(needed) = self.needed
                    && needed > least.0
                {
                    least = (needed, KeptBy::Needed);
                }
                let earlier = self.earlier.filter(|earlier| *earlier > least.0);
                match earlier {
                    // What it may hold is not in the files that it believes.
                    Some(earlier) if self.holds_a_mount() => Pin::Exactly(earlier, self.holds()),
                    None if self.holds_a_mount() => Pin::Exactly(least.0, self.holds()),
                    Some(earlier) if !self.is_explicit() => {
                        Pin::AtLeast(earlier, KeptBy::Advertised)
                    }
                    Some(_) | None => Pin::AtLeast(least.0, least.1),
                }
            }
        }
    }

    /// A disk that the agent may add.
    fn added(&self) -> Pin {
        match (self.needed, self.earlier) {
            (Some(needed), Some(earlier)) if earlier > needed && !self.is_explicit() => {
                Pin::AtLeast(earlier, KeptBy::Advertised)
            }
            (Some(needed), _) => Pin::AtLeast(needed, KeptBy::Needed),
            (None, Some(earlier)) if self.holds_a_mount() => Pin::Exactly(earlier, self.holds()),
            (None, Some(earlier)) if !self.is_explicit() => {
                Pin::AtLeast(earlier, KeptBy::Advertised)
            }
            (None, _) => Pin::Free,
        }
    }

    /// No id would be kept: only what is held binds.
    fn without_id(&self) -> Pin {
        let is_free = self.held == Some(false) && self.needed.is_none();
        match (self.earlier, self.needed) {
            (Some(earlier), _) if !is_free && !self.may_be_moved(earlier) => {
                self.not_below_need(earlier, self.holds())
            }
            (_, Some(needed)) => Pin::AtLeast(needed, KeptBy::Needed),
            (_, None) => Pin::Free,
        }
    }

    /// The operator's explicit size moves a ROOT or PATH; a MOUNT never moves while held.
    fn may_be_moved(&self, number: Megabytes) -> bool {
        self.kind != DiskType::Mount
            && match self.size {
                Some(SizeRule::Size(size)) => Megabytes::whole(size.whole_megabytes()) != number,
                Some(SizeRule::Reserve(_)) | None => false,
            }
    }

    fn is_explicit(&self) -> bool {
        matches!(self.size, Some(SizeRule::Size(_)))
    }

    fn holds_a_mount(&self) -> bool {
        self.kind == DiskType::Mount && self.held != Some(false)
    }

    fn holds(&self) -> KeptBy {
        match self.held {
            Some(_) => KeptBy::Held,
            None => KeptBy::MayBeHeld,
        }
    }
}

/// What a disk asks of the file system that it lies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The rule's number; `None`: as it is.
    pub size: Option<SizeRule>,
    /// Size of the file system.
    pub total: Bytes,
    /// How far it may move.
    pub pin: Pin,
    /// What other parts of the same root have.
    pub beside: Megabytes,
    /// Whose number the pinned one was.
    pub adopted: Option<AdoptedFrom>,
}

impl Claim {
    fn takes_the_rest(&self) -> bool {
        matches!(self.size, Some(SizeRule::Reserve(_))) && !matches!(self.pin, Pin::Exactly(..))
    }

    /// The pinned number, where the rule asks for another or nothing.
    fn kept(&self, asked: Option<Megabytes>) -> Option<Share> {
        match &self.pin {
            Pin::Free => None,
            Pin::AtLeast(number, by) | Pin::Exactly(number, by) => Some(Share {
                number: *number,
                reason: NumberReason {
                    origin: Origin::Kept {
                        by: by.clone(),
                        asked: asked.filter(|asked| asked != number),
                    },
                    adopted: self.adopted.clone(),
                },
            }),
        }
    }

    /// A number of the rule's own.
    fn share(&self, number: Megabytes, origin: Origin) -> Share {
        let is_pinned = number == self.pin.least();
        Share {
            number,
            reason: NumberReason {
                origin,
                adopted: self.adopted.clone().filter(|_| is_pinned),
            },
        }
    }
}

/// What a disk gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The number.
    pub number: Megabytes,
    /// Where it comes from.
    pub reason: NumberReason,
}

/// Shares one file system out among these claims, the strongest first, without giving more than
/// there is: what must stay first, then explicit sizes, and the rest to the one that takes all but
/// a reserve. The answers are in the order of the claims.
#[must_use]
pub fn allot(claims: &[Claim]) -> Vec<Result<Share, Rejection>> {
    // In thousandths of a megabyte: a number that is kept need not be whole.
    let mut taken: u64 = claims
        .iter()
        .flat_map(|claim| [claim.pin.least(), claim.beside])
        .map(thousandths)
        .fold(0, u64::saturating_add);
    let rest_taker = claims.iter().position(Claim::takes_the_rest);
    // What the taker of the rest needs at least beyond what it has: its reserve and one megabyte.
    let needs = |index: usize| match (rest_taker, rest_taker.and_then(|at| claims.get(at))) {
        (Some(at), Some(claim)) if at < index => match (claim.size, &claim.pin) {
            (Some(SizeRule::Reserve(reserve)), Pin::Free) => MIB.saturating_add(reserve.0),
            (Some(SizeRule::Reserve(_) | SizeRule::Size(_)) | None, _) => 0,
        },
        _ => 0,
    };
    let mut shares: Vec<Option<Result<Share, Rejection>>> = claims
        .iter()
        .enumerate()
        .map(|(index, claim)| {
            let given = match (claim.size, &claim.pin) {
                (None, _) => claim.kept(None).map(Ok),
                (Some(SizeRule::Size(size)), Pin::Exactly(..)) => claim
                    .kept(Some(Megabytes::whole(size.whole_megabytes())))
                    .map(Ok),
                (Some(SizeRule::Reserve(reserve)), Pin::Exactly(_, by)) => {
                    // Volumes are reason enough; a policy is not, so that the operator sees what
                    // another would give.
                    let asked = match by {
                        KeptBy::Held | KeptBy::MayBeHeld => None,
                        KeptBy::HeldMount
                        | KeptBy::Needed
                        | KeptBy::Equal
                        | KeptBy::Additive
                        | KeptBy::Advertised
                        | KeptBy::Unreadable(_) => {
                            let rest = Bytes(claim.total.0.saturating_sub(reserve.0));
                            Some(Megabytes::whole(rest.whole_megabytes()))
                        }
                    };
                    claim.kept(asked).map(Ok)
                }
                (Some(SizeRule::Size(size)), Pin::Free | Pin::AtLeast(..)) => {
                    Some(explicit(claim, size, taken, needs(index)))
                }
                (Some(SizeRule::Reserve(_)), Pin::Free | Pin::AtLeast(..)) => None,
            };
            if let Some(Ok(share)) = &given {
                let more = thousandths(share.number).saturating_sub(thousandths(claim.pin.least()));
                taken = taken.saturating_add(more);
            }
            given
        })
        .collect();
    for (claim, share) in claims.iter().zip(&mut shares) {
        if share.is_none() {
            let given = rest(claim, taken);
            if let Ok(share) = &given {
                let more = thousandths(share.number).saturating_sub(thousandths(claim.pin.least()));
                taken = taken.saturating_add(more);
            }
            *share = Some(given);
        }
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

/// What the others have, of all that is taken.
fn of_others(claim: &Claim, taken: u64) -> u64 {
    in_bytes(taken.saturating_sub(thousandths(claim.pin.least())))
}

fn explicit(claim: &Claim, size: Bytes, taken: u64, needed: u64) -> Result<Share, Rejection> {
    let number = Megabytes::whole(size.whole_megabytes());
    if number <= claim.pin.least()
        && number != Megabytes::default()
        && let Some(kept) = claim.kept(Some(number))
    {
        return Ok(if number == kept.number {
            claim.share(number, Origin::Size(size))
        } else {
            kept
        });
    }
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
        .saturating_sub(of_others(claim, taken))
        .saturating_sub(needed);
    if in_bytes(thousandths(number)) <= left {
        return Ok(claim.share(number, Origin::Size(size)));
    }
    if let Some(kept) = claim.kept(Some(number)) {
        return Ok(kept);
    }
    let others = match claim.total.0.saturating_sub(left) {
        0 => String::new(),
        others => format!(
            ", of which {} go to other roots or a reserve",
            Bytes(others)
        ),
    };
    Err(Rejection::new(
        Code::SizeBeyondFilesystem,
        format!(
            "its size = {size} does not fit into the file system of {}{others}",
            claim.total
        ),
        "set a smaller size",
    ))
}

fn rest(claim: &Claim, taken: u64) -> Result<Share, Rejection> {
    let reserve = match claim.size {
        Some(SizeRule::Reserve(reserve) | SizeRule::Size(reserve)) => reserve,
        None => Bytes(0),
    };
    let others = of_others(claim, taken);
    let left = claim
        .total
        .0
        .saturating_sub(reserve.0)
        .saturating_sub(others);
    let origin = Origin::Reserve {
        total: claim.total,
        reserve,
        others: Bytes(others),
    };
    let number = Megabytes::whole(Bytes(left).whole_megabytes());
    if number < claim.pin.least()
        && let Some(kept) = claim.kept(Some(number))
    {
        return Ok(kept);
    }
    let share = claim.share(number, origin);
    if number == Megabytes::default() {
        return Err(Rejection::new(
            Code::TooSmall,
            format!("nothing is left: {}", share.reason),
            "lower the reserve, or use a larger disk",
        ));
    }
    Ok(share)
}

#[cfg(test)]
mod tests;
