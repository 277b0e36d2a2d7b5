//! How far a number may move, and what each disk gets of its file system.

#![expect(
    clippy::unnecessary_wraps,
    reason = "what stands in tables beside others"
)]

use super::*;

const PATH: DiskType = DiskType::Path;
const MOUNT: DiskType = DiskType::Mount;
const EQUAL: ReconfigurationPolicy = ReconfigurationPolicy::Equal;
const ADDITIVE: ReconfigurationPolicy = ReconfigurationPolicy::Additive;
const RESERVE: SizeRule = SizeRule::Reserve(Bytes(0));

fn mb(number: u64) -> Megabytes {
    Megabytes::whole(number)
}

fn size(megabytes: u64) -> SizeRule {
    SizeRule::Size(Bytes::from_megabytes(megabytes))
}

/// What is known of a disk: what it registered with, needs and had, and whether anything is on it.
struct Row {
    kind: DiskType,
    registered: Known<Option<u64>>,
    needed: Option<u64>,
    earlier: Option<u64>,
    held: Option<bool>,
    size: SizeRule,
    policy: ReconfigurationPolicy,
}

fn row(kind: DiskType, registered: Known<Option<u64>>, policy: ReconfigurationPolicy) -> Row {
    Row {
        kind,
        registered,
        needed: None,
        earlier: None,
        held: Some(false),
        size: RESERVE,
        policy,
    }
}

impl Row {
    fn needs(mut self, number: u64) -> Self {
        self.needed = Some(number);
        self
    }

    fn had(mut self, number: u64) -> Self {
        self.earlier = Some(number);
        self
    }

    fn held(mut self, held: Option<bool>) -> Self {
        self.held = held;
        self
    }

    fn sized(mut self, megabytes: u64) -> Self {
        self.size = size(megabytes);
        self
    }

    fn pin(&self) -> Result<Pin, Code> {
        let disk = DiskRef {
            kind: self.kind,
            root: "/d".into(),
        };
        Standing {
            kind: self.kind,
            registered: self.registered.clone().map(|number| number.map(mb)),
            needed: self.needed.map(mb),
            earlier: self.earlier.map(mb),
            held: self.held,
            size: Some(self.size),
            policy: self.policy,
            disk: &disk,
        }
        .pin()
        .map_err(|rejection| rejection.code)
    }
}

fn at_least(number: u64, by: KeptBy) -> Result<Pin, Code> {
    Ok(Pin::AtLeast(mb(number), by))
}

fn exactly(number: u64, by: KeptBy) -> Result<Pin, Code> {
    Ok(Pin::Exactly(mb(number), by))
}

#[track_caller]
fn told(rows: Vec<(Row, Result<Pin, Code>)>) {
    for (at, (row, wanted)) in rows.into_iter().enumerate() {
        assert_eq!(row.pin(), wanted, "row {at}");
    }
}

#[test]
fn a_mount_that_the_checkpoint_holds_has_its_number_whatever_else_is_so() {
    for registered in [
        Known::Absent,
        Known::unknown("torn"),
        Known::Known(None),
        Known::Known(Some(80)),
    ] {
        for policy in [EQUAL, ADDITIVE] {
            let held = row(MOUNT, registered.clone(), policy).needs(20).had(100);
            assert_eq!(held.pin(), exactly(20, KeptBy::HeldMount));
        }
    }
}

#[test]
fn without_an_agent_id_only_what_is_held_binds() {
    let new = |kind| row(kind, Known::Absent, EQUAL);
    told(vec![
        (new(PATH), Ok(Pin::Free)),
        (new(PATH).had(100), Ok(Pin::Free)),
        (new(PATH).needs(30), at_least(30, KeptBy::Needed)),
        (
            new(PATH).had(100).held(Some(true)),
            exactly(100, KeptBy::Held),
        ),
        (
            new(PATH).had(100).held(None),
            exactly(100, KeptBy::MayBeHeld),
        ),
        // Reservations are on it, and the files of providers name nothing.
        (new(PATH).had(100).needs(30), exactly(100, KeptBy::Held)),
        (new(PATH).had(100).needs(100), exactly(100, KeptBy::Held)),
        (new(PATH).had(100).needs(130), exactly(130, KeptBy::Needed)),
        // An explicit size moves what is carved up, and no MOUNT.
        (new(PATH).had(100).held(Some(true)).sized(50), Ok(Pin::Free)),
        (
            new(PATH).had(100).needs(30).sized(50),
            at_least(30, KeptBy::Needed),
        ),
        (
            new(PATH).had(100).held(Some(true)).sized(100),
            exactly(100, KeptBy::Held),
        ),
        (
            new(MOUNT).had(100).held(Some(true)).sized(50),
            exactly(100, KeptBy::Held),
        ),
        (
            new(MOUNT).had(100).held(Some(false)).sized(50),
            Ok(Pin::Free),
        ),
    ]);
}

#[test]
fn what_cannot_be_told_of_the_registration_moves_no_number() {
    let torn = || row(PATH, Known::unknown("torn"), ADDITIVE);
    let by = KeptBy::Unreadable("torn".to_owned());
    told(vec![
        (torn(), Err(Code::Unreadable)),
        (torn().needs(30), Err(Code::Unreadable)),
        (torn().had(100).sized(50), exactly(100, by.clone())),
        (torn().had(100).needs(100), exactly(100, by)),
        (torn().had(100).needs(130), exactly(130, KeptBy::Needed)),
    ]);
}

#[test]
fn a_registered_number_stays_under_equal_and_never_falls_under_additive() {
    let equal = |kind| row(kind, Known::Known(Some(80)), EQUAL);
    let additive = |kind| row(kind, Known::Known(Some(80)), ADDITIVE);
    told(vec![
        (equal(PATH).had(100).sized(50), exactly(80, KeptBy::Equal)),
        (equal(PATH).needs(80), exactly(80, KeptBy::Equal)),
        (equal(PATH).needs(90), exactly(90, KeptBy::Needed)),
        (additive(PATH), at_least(80, KeptBy::Additive)),
        (additive(PATH).needs(80), at_least(80, KeptBy::Additive)),
        (additive(PATH).needs(90), at_least(90, KeptBy::Needed)),
        (additive(PATH).had(80), at_least(80, KeptBy::Additive)),
        (additive(PATH).had(70), at_least(80, KeptBy::Additive)),
        (additive(PATH).had(100), at_least(100, KeptBy::Advertised)),
        (
            additive(PATH).had(100).held(Some(true)),
            at_least(100, KeptBy::Advertised),
        ),
        (
            additive(PATH).had(100).sized(50),
            at_least(80, KeptBy::Additive),
        ),
        (
            additive(PATH).had(100).needs(90).sized(50),
            at_least(90, KeptBy::Needed),
        ),
        // A MOUNT is used as a whole.
        (additive(MOUNT), at_least(80, KeptBy::Additive)),
        (additive(MOUNT).had(100), at_least(100, KeptBy::Advertised)),
        (additive(MOUNT).held(Some(true)), exactly(80, KeptBy::Held)),
        (additive(MOUNT).held(None), exactly(80, KeptBy::MayBeHeld)),
        (
            additive(MOUNT).held(None).had(80),
            exactly(80, KeptBy::MayBeHeld),
        ),
        (
            additive(MOUNT).had(100).held(Some(true)).sized(50),
            exactly(100, KeptBy::Held),
        ),
    ]);
}

#[test]
fn a_disk_that_the_agent_has_not_registered_is_added_only_where_it_may_grow() {
    let equal = |kind| row(kind, Known::Known(None), EQUAL);
    let additive = |kind| row(kind, Known::Known(None), ADDITIVE);
    told(vec![
        (equal(PATH), Err(Code::NeedsAdditive)),
        (equal(PATH).had(100), Err(Code::NeedsAdditive)),
        // Its checkpoint does not fit without.
        (equal(PATH).needs(30), at_least(30, KeptBy::Needed)),
        (additive(PATH), Ok(Pin::Free)),
        (additive(PATH).needs(30), at_least(30, KeptBy::Needed)),
        (
            additive(PATH).needs(30).had(30),
            at_least(30, KeptBy::Needed),
        ),
        (
            additive(PATH).needs(30).had(100),
            at_least(100, KeptBy::Advertised),
        ),
        (
            additive(PATH).needs(30).had(100).sized(50),
            at_least(30, KeptBy::Needed),
        ),
        (additive(PATH).had(100), at_least(100, KeptBy::Advertised)),
        (
            additive(PATH).had(100).held(Some(true)),
            at_least(100, KeptBy::Advertised),
        ),
        (additive(PATH).had(100).sized(50), Ok(Pin::Free)),
        (
            additive(MOUNT).had(100).held(None).sized(50),
            exactly(100, KeptBy::MayBeHeld),
        ),
        (
            additive(MOUNT).had(100).held(Some(true)),
            exactly(100, KeptBy::Held),
        ),
        (additive(MOUNT).had(100).sized(50), Ok(Pin::Free)),
        (additive(MOUNT).held(Some(true)), Ok(Pin::Free)),
    ]);
}

/// A disk of a file system of so many MB.
fn claim(total: u64, size: Option<SizeRule>, pin: Pin) -> Claim {
    Claim {
        size,
        total: Bytes::from_megabytes(total),
        pin,
        beside: Megabytes::default(),
        adopted: None,
    }
}

fn reserve(megabytes: u64) -> Option<SizeRule> {
    Some(SizeRule::Reserve(Bytes::from_megabytes(megabytes)))
}

/// A number and its code, or why there is none.
type Given = Result<(Megabytes, &'static str), Code>;

fn given(claims: &[Claim]) -> Vec<Given> {
    allot(claims)
        .into_iter()
        .map(|share| match share {
            Ok(share) => Ok((share.number, share.reason.as_str())),
            Err(rejection) => Err(rejection.code),
        })
        .collect()
}

#[test]
fn a_disk_alone_gets_what_its_rule_says_within_its_pin() {
    let pinned = |number| Pin::Exactly(mb(number), KeptBy::Held);
    let least = |number| Pin::AtLeast(mb(number), KeptBy::Additive);
    let rows: Vec<(Option<SizeRule>, Pin, Given)> = vec![
        // The rest.
        (reserve(10), Pin::Free, Ok((mb(90), "reserve"))),
        (reserve(99), Pin::Free, Ok((mb(1), "reserve"))),
        (reserve(100), Pin::Free, Err(Code::TooSmall)),
        (reserve(200), Pin::Free, Err(Code::TooSmall)),
        (reserve(10), least(80), Ok((mb(90), "reserve"))),
        (reserve(10), least(90), Ok((mb(90), "reserve"))),
        (reserve(10), least(95), Ok((mb(95), "policy_additive"))),
        (reserve(10), least(120), Ok((mb(120), "policy_additive"))),
        (reserve(10), pinned(70), Ok((mb(70), "held"))),
        // An explicit size.
        (Some(size(100)), Pin::Free, Ok((mb(100), "size"))),
        (Some(size(101)), Pin::Free, Err(Code::SizeBeyondFilesystem)),
        (Some(size(0)), Pin::Free, Err(Code::TooSmall)),
        (Some(size(0)), least(30), Err(Code::TooSmall)),
        (Some(size(50)), least(30), Ok((mb(50), "size"))),
        (Some(size(50)), least(50), Ok((mb(50), "size"))),
        (Some(size(50)), least(60), Ok((mb(60), "policy_additive"))),
        (Some(size(101)), least(60), Ok((mb(60), "policy_additive"))),
        (Some(size(50)), pinned(70), Ok((mb(70), "held"))),
        // As it is.
        (None, pinned(70), Ok((mb(70), "held"))),
        (None, least(70), Ok((mb(70), "policy_additive"))),
    ];
    for (at, (size, pin, wanted)) in rows.into_iter().enumerate() {
        assert_eq!(given(&[claim(100, size, pin)]), [wanted], "row {at}");
    }
}

#[test]
fn what_is_on_one_file_system_is_never_more_than_it() {
    let held = |number| Pin::Exactly(mb(number), KeptBy::Held);
    let free = |size| claim(100, size, Pin::Free);
    let one = |number, code| Ok((mb(number), code));
    // What must stay comes first, whoever is asked first.
    assert_eq!(
        given(&[free(reserve(10)), claim(100, reserve(10), held(30))]),
        [one(60, "reserve"), one(30, "held")]
    );
    assert_eq!(
        given(&[free(Some(size(70))), claim(100, reserve(10), held(30))]),
        [one(70, "size"), one(30, "held")]
    );
    assert_eq!(
        given(&[free(Some(size(71))), claim(100, reserve(10), held(30))]),
        [Err(Code::SizeBeyondFilesystem), one(30, "held")]
    );
    // Then explicit sizes, the first before the second, and then the rest.
    assert_eq!(
        given(&[free(Some(size(60))), free(Some(size(40)))]),
        [one(60, "size"), one(40, "size")]
    );
    assert_eq!(
        given(&[free(Some(size(60))), free(Some(size(41)))]),
        [one(60, "size"), Err(Code::SizeBeyondFilesystem)]
    );
    assert_eq!(
        given(&[free(Some(size(60))), free(reserve(10))]),
        [one(60, "size"), one(30, "reserve")]
    );
    // One that takes the rest leaves nothing to another of its kind.
    assert_eq!(
        given(&[free(reserve(10)), free(reserve(0)), free(reserve(10))]),
        [one(90, "reserve"), one(10, "reserve"), Err(Code::TooSmall)]
    );
    // A number that may grow counts once: as what it has, and then as what it came to.
    let grows = |size| claim(100, size, Pin::AtLeast(mb(20), KeptBy::Additive));
    assert_eq!(
        given(&[grows(reserve(10)), free(Some(size(50)))]),
        [one(40, "reserve"), one(50, "size")]
    );
    assert_eq!(
        given(&[grows(Some(size(50))), free(reserve(10))]),
        [one(50, "size"), one(40, "reserve")]
    );
    assert_eq!(
        given(&[grows(reserve(10)), free(reserve(0))]),
        [one(90, "reserve"), one(10, "reserve")]
    );
    // Other parts of the same root count too.
    let beside = Claim {
        beside: mb(15),
        ..free(reserve(10))
    };
    assert_eq!(given(std::slice::from_ref(&beside)), [one(75, "reserve")]);
    assert_eq!(
        given(&[beside, free(Some(size(74)))]),
        [one(1, "reserve"), one(74, "size")]
    );
}

#[test]
fn an_explicit_size_leaves_its_reserve_and_a_megabyte_to_one_before_it_that_takes_the_rest() {
    let rest = |pin| claim(100, reserve(10), pin);
    let explicit = |megabytes| claim(100, Some(size(megabytes)), Pin::Free);
    let one = |number, code| Ok((mb(number), code));
    assert_eq!(
        given(&[rest(Pin::Free), explicit(89)]),
        [one(1, "reserve"), one(89, "size")]
    );
    assert_eq!(
        given(&[rest(Pin::Free), explicit(90)]),
        [one(90, "reserve"), Err(Code::SizeBeyondFilesystem)]
    );
    // Whoever stands before the two.
    for first in [
        explicit(10),
        claim(100, reserve(10), Pin::Exactly(mb(10), KeptBy::Held)),
    ] {
        assert_eq!(
            given(&[first, rest(Pin::Free), explicit(80)])[1..],
            [one(80, "reserve"), Err(Code::SizeBeyondFilesystem)]
        );
    }
    // After it, nothing is left for the weaker one.
    assert_eq!(
        given(&[explicit(90), rest(Pin::Free)]),
        [one(90, "size"), Err(Code::TooSmall)]
    );
    // What it has already is enough.
    let has = Pin::AtLeast(mb(20), KeptBy::Additive);
    assert_eq!(
        given(&[rest(has.clone()), explicit(80)]),
        [one(20, "policy_additive"), one(80, "size")]
    );
    assert_eq!(
        given(&[rest(has), explicit(81)]),
        [one(90, "reserve"), Err(Code::SizeBeyondFilesystem)]
    );
}

#[test]
fn what_a_kept_number_stands_instead_of_is_told_where_it_is_another() {
    let asked = |size, pin| {
        let shares = allot(&[claim(100, size, pin)]);
        match &shares[0].as_ref().unwrap().reason.origin {
            Origin::Kept { asked, .. } => *asked,
            other @ (Origin::Size(_) | Origin::Reserve { .. }) => panic!("{other:?}"),
        }
    };
    let exactly = |by| Pin::Exactly(mb(70), by);
    assert_eq!(asked(None, exactly(KeptBy::Equal)), None);
    assert_eq!(asked(Some(size(50)), exactly(KeptBy::Held)), Some(mb(50)));
    assert_eq!(asked(Some(size(70)), exactly(KeptBy::Held)), None);
    assert_eq!(asked(reserve(30), exactly(KeptBy::Equal)), None);
    for by in [
        KeptBy::HeldMount,
        KeptBy::Needed,
        KeptBy::Equal,
        KeptBy::Additive,
        KeptBy::Advertised,
        KeptBy::Unreadable("torn".to_owned()),
    ] {
        assert_eq!(asked(reserve(10), exactly(by)), Some(mb(90)));
    }
    // Volumes are reason enough.
    for by in [KeptBy::Held, KeptBy::MayBeHeld] {
        assert_eq!(asked(reserve(10), exactly(by)), None);
    }
}

#[test]
fn a_number_is_adopted_as_long_as_it_is_the_one_that_was_found() {
    let adopted = |size, pin| {
        let claim = Claim {
            adopted: Some(AdoptedFrom::SlaveInfo),
            ..claim(100, size, pin)
        };
        let share = allot(&[claim]).remove(0).unwrap();
        (share.number, share.reason.adopted.is_some())
    };
    let least = || Pin::AtLeast(mb(60), KeptBy::Additive);
    assert_eq!(adopted(None, least()), (mb(60), true));
    assert_eq!(adopted(reserve(40), least()), (mb(60), true));
    assert_eq!(adopted(reserve(10), least()), (mb(90), false));
    assert_eq!(adopted(Some(size(60)), least()), (mb(60), true));
    assert_eq!(adopted(Some(size(61)), least()), (mb(61), false));
}

#[test]
fn numbers_that_are_not_whole_take_up_every_byte_that_they_begin() {
    // A thousandth of a megabyte is 1048.576 bytes.
    assert_eq!([0, 1, 1000, 1001].map(in_bytes), [0, 1049, MIB, MIB + 1049]);
    assert_eq!(in_bytes(u64::MAX), u64::MAX);
    let pin = Pin::Exactly(Megabytes::from_thousandths(30_001), KeptBy::Held);
    let shares = allot(&[claim(100, None, pin), claim(100, reserve(10), Pin::Free)]);
    let share = shares[1].as_ref().unwrap();
    assert_eq!(share.number, mb(59));
    assert_eq!(
        share.reason.origin,
        Origin::Reserve {
            total: Bytes::from_megabytes(100),
            reserve: Bytes::from_megabytes(10),
            others: Bytes(30 * MIB + 1049),
        }
    );
}

#[test]
fn codes_of_numbers_are_those_of_the_interface() {
    let by = [
        (KeptBy::HeldMount, "held_mount"),
        (KeptBy::Needed, "needed"),
        (KeptBy::Equal, "policy_equal"),
        (KeptBy::Additive, "policy_additive"),
        (KeptBy::Held, "held"),
        (KeptBy::MayBeHeld, "maybe_held"),
        (KeptBy::Advertised, "advertised"),
        (KeptBy::Unreadable(String::new()), "agent_unreadable"),
    ];
    for (by, code) in by {
        let pin = Pin::Exactly(mb(70), by);
        assert_eq!(given(&[claim(100, None, pin)]), [Ok((mb(70), code))]);
    }
}
