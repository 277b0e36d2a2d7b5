//! What trips a root besides its UUID: a file system that shrank, failed or lost its device, and
//! a marker that is another host's or another root's. What the drive says is a warning.

use super::facts::{Drive, Facts, FsFailure, Known, MarkerOf, RootFacts, RootMount};
use super::guards::{Reason, Refusal};
use super::ledger::Verified;
use crate::units::{Bytes, MIB, Megabytes};

/// What is wrong with a file system that is mounted.
#[must_use]
pub fn failure(mount: &RootMount) -> Option<Reason> {
    mount.failure.as_ref().map(|failure| match failure {
        FsFailure::Failed(what) => Reason::new(Refusal::FilesystemFailed, what.clone()),
        FsFailure::DeviceGone(what) => Reason::new(Refusal::DeviceGone, what.clone()),
    })
}

/// Whether a file system of so many bytes is smaller than what is advertised of it, in a sentence.
/// `advertised` are the numbers of all roots on it. What was so when the root was verified, or was
/// accepted since, is no news.
#[must_use]
pub fn shrunk(
    total_bytes: u64,
    advertised: &[Megabytes],
    verified: Option<&Verified>,
) -> Option<String> {
    if bytes(advertised) <= u128::from(total_bytes) {
        return None;
    }
    if verified.is_some_and(|then| then.overdrawn && then.total_bytes <= total_bytes) {
        return None;
    }
    let sum = advertised.iter().fold(Megabytes::default(), |sum, number| {
        sum.saturating_add(*number)
    });
    let of = match advertised {
        [_] => "are advertised of it",
        _ => "are advertised of it, over all roots on it,",
    };
    let then = verified
        .map(|then| format!("; it had {} when it was verified", Bytes(then.total_bytes)))
        .unwrap_or_default();
    Some(format!(
        "the file system has {}, and {sum} MB {of} already{then}",
        Bytes(total_bytes)
    ))
}

/// So many megabytes in bytes, rounded up.
fn bytes(numbers: &[Megabytes]) -> u128 {
    numbers
        .iter()
        .filter_map(|number| u128::try_from(number.thousandths()).ok())
        .fold(0_u128, u128::saturating_add)
        .saturating_mul(u128::from(MIB))
        .div_ceil(1000)
}

/// The numbers of all roots on the file system of this root. One that can't be told to lie elsewhere
/// counts: not knowing must not make a disk look larger.
fn numbers_on(facts: &Facts, root: &RootFacts, mount: &RootMount) -> Vec<Megabytes> {
    let here = root.filesystem.present.known();
    let may_lie_here = |other: &RootFacts| match (&other.mount, &other.filesystem.ledger) {
        (Known::Known(other), _) => other.location.device == mount.location.device,
        (Known::Absent, _) => false,
        (Known::Unknown(_), Known::Known(then)) => {
            here.is_none_or(|here| here.filesystem == then.filesystem)
        }
        (Known::Unknown(_), Known::Absent | Known::Unknown(_)) => true,
    };
    facts
        .roots
        .iter()
        .filter(|other| may_lie_here(other))
        .filter_map(|other| other.filesystem.advertised)
        .collect()
}

/// [`shrunk`], of a verified root.
#[must_use]
pub fn root_shrunk(facts: &Facts, root: &RootFacts) -> Option<String> {
    // What was never verified has no size to fall short of: its number is its own matter.
    root.filesystem.ledger.known()?;
    let mount = root.mount.known()?;
    shrunk(
        mount.total_bytes,
        &numbers_on(facts, root, mount),
        root.filesystem.verified.as_ref(),
    )
}

/// What is to be noted of a root that is verified or accepted now.
#[must_use]
pub fn verified_now(facts: &Facts, root: &RootFacts) -> Verified {
    let Some(mount) = root.mount.known() else {
        return Verified::default();
    };
    Verified {
        total_bytes: mount.total_bytes,
        overdrawn: bytes(&numbers_on(facts, root, mount)) > u128::from(mount.total_bytes),
        drive: mount.drive.clone(),
    }
}

/// What our marker on this root says besides the UUID.
#[must_use]
pub fn marker_now(facts: &Facts, root: &RootFacts) -> Option<MarkerOf> {
    Some(MarkerOf {
        machine_id: facts.host.machine_id.known()?.clone(),
        root: root.disk.root.clone(),
    })
}

/// Why the marker does not fit this host and root, although it names this file system.
#[must_use]
pub fn marker_of_another(facts: &Facts, root: &RootFacts) -> Option<String> {
    let marker = root.filesystem.marker_of.as_ref()?;
    if let Known::Known(machine_id) = &facts.host.machine_id
        && marker.machine_id != *machine_id
    {
        return Some(format!(
            "the marker on {} is of the machine {}, which is another one",
            root.disk.root, marker.machine_id
        ));
    }
    (marker.root != root.disk.root).then(|| {
        format!(
            "the marker on {} says that it belongs at {}",
            root.disk.root, marker.root
        )
    })
}

/// How the drive differs from what it was when the root was verified, a sentence each.
#[must_use]
pub fn drive_differences(then: Option<&Drive>, now: Option<&Drive>) -> Vec<String> {
    let (Some(then), Some(now)) = (then, now) else {
        return Vec::new();
    };
    let mut said = Vec::new();
    let mut differ = |what: &str, then: Option<String>, now: Option<String>| {
        if let (Some(then), Some(now)) = (then, now)
            && then != now
        {
            said.push(format!("{what} was {then}, now it is {now}"));
        }
    };
    let text = |value: &Option<crate::units::Raw>| value.as_ref().map(ToString::to_string);
    differ(
        "the drive's serial number",
        text(&then.serial),
        text(&now.serial),
    );
    differ(
        "the drive's world-wide name",
        text(&then.wwn),
        text(&now.wwn),
    );
    let size = |drive: &Drive| drive.size_bytes.map(|size| Bytes(size).to_string());
    differ("the device's size", size(then), size(now));
    said
}

/// [`drive_differences`] of a root.
#[must_use]
pub fn root_drive_differences(root: &RootFacts) -> Vec<String> {
    let then = root
        .filesystem
        .verified
        .as_ref()
        .and_then(|then| then.drive.as_ref());
    let now = root.mount.known().and_then(|mount| mount.drive.as_ref());
    drive_differences(then, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mb(number: u64) -> Megabytes {
        Megabytes::whole(number)
    }

    const HUNDRED: u64 = 100 << 20;

    #[test]
    fn only_what_is_smaller_than_the_sum_of_its_numbers_has_shrunk() {
        assert_eq!(shrunk(HUNDRED, &[mb(60), mb(40)], None), None);
        assert_eq!(shrunk(HUNDRED, &[], None), None);
        let said = shrunk(HUNDRED, &[mb(60), mb(41)], None).unwrap();
        assert!(
            said.contains("101 MB") && said.contains("over all roots"),
            "{said}"
        );
        let then = Verified {
            total_bytes: HUNDRED << 1,
            ..Verified::default()
        };
        let said = shrunk(HUNDRED, &[mb(150)], Some(&then)).unwrap();
        assert!(said.contains("when it was verified"), "{said}");
    }

    #[test]
    fn what_was_overdrawn_when_it_was_accepted_trips_only_when_it_shrinks_further() {
        let then = Verified {
            total_bytes: HUNDRED,
            overdrawn: true,
            drive: None,
        };
        assert_eq!(shrunk(HUNDRED, &[mb(150)], Some(&then)), None);
        assert!(shrunk(HUNDRED - 1, &[mb(150)], Some(&then)).is_some());
    }

    #[test]
    fn a_drive_differs_only_where_both_sides_tell() {
        let drive = |serial: Option<&str>, size| Drive {
            name: "sdb".into(),
            size_bytes: size,
            serial: serial.map(Into::into),
            wwn: None,
        };
        let differences = |then: &Drive, now: &Drive| drive_differences(Some(then), Some(now));
        assert!(differences(&drive(Some("A"), Some(1)), &drive(None, Some(1))).is_empty());
        let said = differences(&drive(Some("A"), Some(1)), &drive(Some("B"), Some(2)));
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(drive_differences(None, Some(&drive(None, None))).is_empty());
    }
}
