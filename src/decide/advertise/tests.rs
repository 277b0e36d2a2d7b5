//! Which entries are written, which are not, and what the ledger keeps of them.

use super::*;
use crate::decide::discover::{Offer, Passes, Subject, Verdict};
use crate::decide::facts::{DiscoveryRules, RootRule, SizeRule};
use crate::decide::numbers::{NumberReason, Origin};
use crate::units::{Bytes, Span};

fn disk(kind: DiskType, root: &str) -> DiskRef {
    DiskRef {
        kind,
        root: root.into(),
    }
}

fn rules(advertise: bool) -> DiskRules {
    DiskRules {
        work_dir: "/w".into(),
        root: RootRule {
            advertise,
            size: SizeRule::Reserve(Bytes(0)),
            role: Role::new("*"),
        },
        disks: Vec::new(),
        discovery: DiscoveryRules {
            settle: Span::ZERO,
            min_size: Bytes(0),
            filesystems: Vec::new(),
            exclude: Vec::new(),
        },
    }
}

fn form() -> Form {
    Form {
        role: Role::new("*"),
        parts: Vec::new(),
        known: None,
        adopted: None,
    }
}

fn verdict(disk: DiskRef, verdict: Verdict, last_good: Option<LastGood>) -> DiskVerdict {
    DiskVerdict {
        subject: Subject::Path(disk.root.clone()),
        path: Some(disk.root.clone()),
        disk: Some(disk),
        role: None,
        device: None,
        filesystem: None,
        mount: None,
        passes: Passes::default(),
        verdict,
        last_good,
    }
}

fn offered(disk: DiskRef, number: u64, adopted: Option<AdoptedFrom>) -> DiskVerdict {
    let on = LedgerPlace {
        filesystem: None,
        mount_point: disk.root.clone(),
    };
    let offer = Offer {
        number: Megabytes::whole(number),
        reason: NumberReason {
            origin: Origin::Size(Bytes(0)),
            adopted,
        },
        rule: None,
        form: form(),
        on,
    };
    verdict(disk, Verdict::Offered(Box::new(offer)), None)
}

fn made(disks: Vec<DiskVerdict>) -> Advertisement {
    let discovery = Discovery {
        disks,
        warnings: Vec::new(),
    };
    advertise(&discovery, &rules(true)).unwrap()
}

#[test]
fn a_number_is_adopted_on_the_disk_that_has_it_and_on_no_other() {
    let (p, q) = (disk(DiskType::Path, "/p"), disk(DiskType::Path, "/q"));
    let from = Some(AdoptedFrom::SlaveInfo);
    let made = made(vec![
        offered(q.clone(), 2, None),
        offered(p.clone(), 1, from.clone()),
        // A second mount at the same mount point, hidden by the first.
        offered(p.clone(), 3, None),
    ]);
    let entries: Vec<_> = made
        .disks
        .iter()
        .map(|entry| (&entry.disk, entry.number, entry.adopted.clone()))
        .collect();
    assert_eq!(
        entries,
        [
            (&p, Megabytes::whole(1), from),
            (&q, Megabytes::whole(2), None)
        ]
    );
}

/// What is written, degraded, and held back; `None`: nothing can be.
type Wanted = Option<(&'static [u64], usize, usize)>;

#[test]
fn what_is_rejected_is_written_left_out_told_or_an_error() {
    const ROOT: DiskType = DiskType::Root;
    const PATH: DiskType = DiskType::Path;
    let last = |emit, degrades| {
        Some(LastGood {
            number: Megabytes::whole(70),
            form: form(),
            emit,
            agent: None,
            degrades,
        })
    };
    let (stays, left_out) = (Emit::LastGood, Emit::LeaveOut);
    let (torn, new) = (Code::Unreadable, Code::NeedsAdditive);
    let rows: Vec<(DiskType, Option<LastGood>, Code, bool, Wanted)> = vec![
        (PATH, None, torn, true, Some((&[], 0, 0))),
        (PATH, None, new, true, Some((&[], 0, 1))),
        (PATH, last(left_out, true), torn, true, Some((&[], 1, 0))),
        (PATH, last(left_out, false), torn, true, Some((&[], 0, 0))),
        (PATH, last(stays, true), torn, true, Some((&[70], 1, 0))),
        (PATH, last(stays, false), torn, true, Some((&[70], 0, 1))),
        (ROOT, last(stays, true), torn, true, Some((&[70], 1, 0))),
        (ROOT, last(stays, true), torn, false, Some((&[70], 1, 0))),
        (ROOT, None, torn, true, None),
        (ROOT, last(left_out, true), torn, true, None),
        // An entry of 0, so that the agent does not detect one.
        (ROOT, None, torn, false, Some((&[0], 0, 0))),
        (ROOT, None, new, true, Some((&[0], 0, 1))),
        (ROOT, None, new, false, Some((&[0], 0, 1))),
    ];
    for (at, (kind, last_good, code, advertised, wanted)) in rows.into_iter().enumerate() {
        let rejection = Rejection::new(code, "so it is", "mend it");
        let discovery = Discovery {
            disks: vec![verdict(
                disk(kind, "/w"),
                Verdict::Rejected(rejection),
                last_good,
            )],
            warnings: Vec::new(),
        };
        let found = advertise(&discovery, &rules(advertised)).ok().map(|made| {
            let numbers: Vec<Megabytes> = made.disks.iter().map(|one| one.number).collect();
            (numbers, made.degraded.len(), made.held_back.len())
        });
        let wanted = wanted.map(|(numbers, degraded, held_back)| {
            let numbers: Vec<Megabytes> = numbers.iter().copied().map(Megabytes::whole).collect();
            (numbers, degraded, held_back)
        });
        assert_eq!(found, wanted, "row {at}");
    }
}

#[test]
fn a_warning_says_of_each_disk_whether_it_is_written() {
    let rejection = Rejection::new(Code::Unreadable, "so it is", "mend it");
    let (p, q) = (disk(DiskType::Path, "/p"), disk(DiskType::Path, "/q"));
    let both = vec![
        (p.clone(), rejection.clone()),
        (q.clone(), rejection.clone()),
    ];
    let made = Advertisement {
        degraded: both.clone(),
        held_back: both,
        ..made(vec![offered(p, 1, None)])
    };
    let why = format!("so it is ({}); mend it", Code::Unreadable);
    assert_eq!(
        made.warnings(),
        [
            format!("PATH:/p is advertised with its last good number: {why}"),
            format!("PATH:/q is left out: {why}"),
            format!("PATH:/p stays: {why}"),
            format!("PATH:/q is not added: {why}"),
        ]
    );
}

/// An entry of a disk that is seen now.
fn entry(root: &str, role: &str, number: u64) -> Advertised {
    Advertised {
        disk: disk(DiskType::Path, root),
        role: Role::new(role),
        number: Megabytes::whole(number),
        because: "its rule".to_owned(),
        extras: SourceExtras::default(),
        known: false,
        adopted: None,
        on: Some(LedgerPlace {
            filesystem: None,
            mount_point: root.into(),
        }),
    }
}

fn after(ledger: &Ledger, disks: Vec<Advertised>, now: i64) -> Ledger {
    let advertisement = Advertisement {
        disks,
        ..Advertisement::default()
    };
    recorded(ledger, &advertisement, now)
}

fn told(root: &LedgerRoot) -> Vec<&str> {
    root.changes
        .iter()
        .map(|change| change.what.as_str())
        .collect()
}

#[test]
fn the_ledger_keeps_each_disk_with_its_parts_and_what_is_not_written_stays_in_it() {
    let first = after(
        &Ledger::default(),
        vec![
            entry("/p", "*", 10),
            entry("/p", "a", 3),
            entry("/q", "*", 20),
        ],
        100,
    );
    let numbers: Vec<_> = first
        .roots
        .iter()
        .map(|root| (root.disk.root.clone(), root.advertised, root.parts.clone()))
        .collect();
    let part = LedgerPart {
        role: Role::new("a"),
        advertised: Megabytes::whole(3),
    };
    let mb = |number| Some(Megabytes::whole(number));
    assert_eq!(
        numbers,
        [
            ("/p".into(), mb(10), vec![part]),
            ("/q".into(), mb(20), vec![])
        ]
    );
    // What is gone stays, and what is not seen is as it was when it was seen.
    let unseen = Advertised {
        on: None,
        ..entry("/q", "*", 25)
    };
    let later = after(&first, vec![unseen], 200);
    assert_eq!(later, first);
    // A ROOT that is not offered is no last good number.
    let none = Advertised {
        on: None,
        ..entry("/w", "*", 0)
    };
    let later = after(&first, vec![none], 200);
    assert_eq!(later.roots[2].advertised, mb(0));
    assert_eq!(later.roots[2].place, None);
}

#[test]
fn what_changed_of_a_disk_is_in_its_history_and_nothing_else_is() {
    let first = after(&Ledger::default(), vec![entry("/p", "*", 10)], 100);
    assert_eq!(told(&first.roots[0]), ["advertised with 10 MB: its rule"]);
    // Nothing, and too soon for another sight to be worth a write.
    assert_eq!(
        after(&first, vec![entry("/p", "*", 10)], 100 + SEEN - 1),
        first
    );
    let seen = after(&first, vec![entry("/p", "*", 10)], 100 + SEEN);
    assert_eq!(seen.roots[0].last_seen, 100 + SEEN);
    assert_eq!(seen.roots[0].changes, first.roots[0].changes);
    // A number, at once.
    let grown = after(&first, vec![entry("/p", "*", 11)], 101);
    assert_eq!(told(&grown.roots[0])[1..], ["10 MB became 11 MB: its rule"]);
    assert_eq!(
        (grown.roots[0].last_seen, grown.roots[0].changes[1].at),
        (101, 101)
    );
    // A role, a spelling, another mount.
    let role = after(&first, vec![entry("/p", "a", 10)], 101);
    assert_eq!(told(&role.roots[0])[1..], ["its role became a"]);
    let spelt = after(&first, vec![entry("/p/", "*", 10)], 101);
    assert_eq!(spelt.roots.len(), 1);
    assert_eq!(
        told(&spelt.roots[0])[1..],
        ["the agent spells it /p/", "it lies on the mount at /p/"]
    );
    let mut moved = entry("/p", "*", 10);
    moved.on = Some(LedgerPlace {
        filesystem: None,
        mount_point: "/".into(),
    });
    let moved = after(&first, vec![moved], 101);
    assert_eq!(told(&moved.roots[0])[1..], ["it lies on the mount at /"]);
}

#[test]
fn a_root_that_was_known_without_a_number_has_no_role_to_change() {
    let mut ledger = Ledger::default();
    ledger
        .roots
        .push(LedgerRoot::new(disk(DiskType::Path, "/p"), 1));
    let adopted = Advertised {
        adopted: Some(AdoptedFrom::SlaveInfo),
        ..entry("/p", "a", 10)
    };
    let now = after(&ledger, vec![adopted], 2);
    assert_eq!(
        told(&now.roots[0]),
        ["10 MB adopted from the agent's slave.info"]
    );
}
