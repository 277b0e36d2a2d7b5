//! Which numbers are taken over, from whom, and when none may be.

use std::collections::BTreeSet;

use super::*;

const EQUAL: ReconfigurationPolicy = ReconfigurationPolicy::Equal;
const ADDITIVE: ReconfigurationPolicy = ReconfigurationPolicy::Additive;

fn path(root: &str) -> DiskRef {
    DiskRef {
        kind: DiskType::Path,
        root: root.into(),
    }
}

fn mount(root: &str) -> DiskRef {
    DiskRef {
        kind: DiskType::Mount,
        root: root.into(),
    }
}

fn part(disk: DiskRef, role: &str, number: u64) -> AgentDisk {
    AgentDisk {
        disk,
        role: Role::new(role),
        number: Megabytes::whole(number),
        extras: SourceExtras::default(),
        volumes: BTreeSet::new(),
    }
}

fn agent(
    registered: Known<Vec<AgentDisk>>,
    needed: Vec<AgentDisk>,
    policy: ReconfigurationPolicy,
) -> Baselines {
    Baselines {
        registered,
        needed: Known::Known(needed),
        policy,
        ..Baselines::default()
    }
}

fn flags(running: bool, disks: Vec<AgentDisk>) -> Told {
    Told {
        from: AdoptedFrom::Flags("its unit".to_owned()),
        running,
        disks: Known::Known(disks),
    }
}

fn file(disks: Vec<AgentDisk>) -> Told {
    Told {
        from: AdoptedFrom::File("/resources".into()),
        running: false,
        disks: Known::Known(disks),
    }
}

/// Each root of the ledger: its disk, its roles with their numbers, and where the first is from.
fn taken(ledger: &Ledger) -> Vec<(String, String, Option<AdoptedFrom>)> {
    let of_root = |root: &LedgerRoot| {
        let first = root.role.iter().zip(root.advertised);
        let rest = root.parts.iter().map(|part| (&part.role, part.advertised));
        let numbers: Vec<String> = first
            .chain(rest)
            .map(|(role, number)| format!("{role} {number}"))
            .collect();
        (
            root.disk.to_string(),
            numbers.join(", "),
            root.adopted.clone(),
        )
    };
    ledger.roots.iter().map(of_root).collect()
}

fn adopted(agent: &Baselines, told: &[Told]) -> Vec<(String, String, Option<AdoptedFrom>)> {
    taken(&adopt(&Ledger::default(), agent, told, 7).ledger)
}

fn one(disk: &str, numbers: &str, from: AdoptedFrom) -> (String, String, Option<AdoptedFrom>) {
    (disk.to_owned(), numbers.to_owned(), Some(from))
}

#[test]
fn a_disk_that_only_a_text_names_is_taken_over_where_the_agent_would_start_with_it() {
    let told = |running| [flags(running, vec![part(path("/p"), "*", 50)])];
    let from = AdoptedFrom::Flags("its unit".to_owned());
    let there = vec![one("PATH:/p", "* 50", from)];
    let registered = || Known::Known(Vec::new());
    for (registered, policy, running, wanted) in [
        (Known::Absent, EQUAL, false, &there),
        (Known::Absent, ADDITIVE, false, &there),
        (registered(), ADDITIVE, true, &there),
        (registered(), ADDITIVE, false, &vec![]),
        (registered(), EQUAL, true, &vec![]),
        (Known::unknown("torn"), ADDITIVE, true, &vec![]),
    ] {
        let agent = agent(registered.clone(), Vec::new(), policy);
        let found = adopted(&agent, &told(running));
        assert_eq!(&found, wanted, "{registered:?} {policy} {running}");
    }
}

#[test]
fn a_root_is_one_however_it_is_spelt_and_two_as_path_and_as_mount() {
    let agent = agent(Known::Absent, Vec::new(), EQUAL);
    let told = [
        flags(false, vec![part(path("/p/"), "*", 50)]),
        file(vec![
            part(path("//p"), "*", 60),
            part(mount("/p"), "*", 70),
            part(path("/q"), "*", 80),
        ]),
    ];
    let from = AdoptedFrom::Flags("its unit".to_owned());
    let of_file = || AdoptedFrom::File("/resources".into());
    assert_eq!(
        adopted(&agent, &told),
        [
            one("PATH:/p/", "* 50", from),
            one("MOUNT:/p", "* 70", of_file()),
            one("PATH:/q", "* 80", of_file()),
        ]
    );
    // Once each, in its history too.
    let ledger = adopt(&Ledger::default(), &agent, &told, 7).ledger;
    for root in &ledger.roots {
        assert_eq!(root.changes.len(), 1, "{root:?}");
        assert_eq!((root.first_seen, root.changes[0].at), (7, 7));
    }
}

#[test]
fn what_the_ledger_has_a_number_of_stays_and_what_it_only_knows_gets_one() {
    let agent = agent(
        Known::Known(vec![part(path("/p"), "*", 50), part(path("/q"), "*", 60)]),
        Vec::new(),
        EQUAL,
    );
    let mut ledger = Ledger::default();
    for (disk, number) in [
        (path("/p/"), Some(40)),
        (mount("/q"), None),
        (path("/q/"), None),
        (path("/other"), None),
    ] {
        ledger.roots.push(LedgerRoot {
            role: number.map(|_| Role::new("*")),
            advertised: number.map(Megabytes::whole),
            ..LedgerRoot::new(disk, 1)
        });
    }
    let now = adopt(&ledger, &agent, &[], 7).ledger;
    assert_eq!(now.roots[0], ledger.roots[0]);
    assert_eq!(now.roots[1], ledger.roots[1]);
    assert_eq!(now.roots[3], ledger.roots[3]);
    // Spelt as the agent spells it.
    assert_eq!(
        taken(&now)[2],
        one("PATH:/q", "* 60", AdoptedFrom::SlaveInfo)
    );
    assert_eq!(now.roots[2].first_seen, 1);
    assert_eq!(now.roots.len(), 4);
}

#[test]
fn parts_with_roles_of_their_own_are_those_of_the_first_that_names_the_disk_and_of_what_is_held() {
    let agent = agent(
        Known::Known(vec![
            part(path("/p"), "*", 50),
            part(path("/p"), "a", 10),
            part(path("/q"), "z", 90),
        ]),
        vec![part(path("/p"), "a", 5), part(path("/p"), "b", 6)],
        ADDITIVE,
    );
    let told = [flags(
        true,
        vec![part(path("/p"), "c", 30), part(path("/p"), "a", 9)],
    )];
    assert_eq!(
        adopted(&agent, &told),
        [
            one("PATH:/p", "* 50, a 10, b 6", AdoptedFrom::SlaveInfo),
            one("PATH:/q", "z 90", AdoptedFrom::SlaveInfo),
        ]
    );
}

#[test]
fn a_number_is_that_of_the_first_source_and_never_less_than_what_is_held() {
    let from = || AdoptedFrom::Flags("its unit".to_owned());
    let number = |disk: &DiskRef, needed: Option<u64>, policy, running, told: u64| {
        let of_needed = needed.map(|needed| part(disk.clone(), "*", needed));
        let agent = agent(
            Known::Known(vec![part(disk.clone(), "*", 50)]),
            of_needed.into_iter().collect(),
            policy,
        );
        let found = adopted(
            &agent,
            &[flags(running, vec![part(disk.clone(), "*", told)])],
        );
        let [(_, numbers, from)] = &found[..] else {
            panic!("{found:?}")
        };
        (numbers.clone(), from.clone().unwrap())
    };
    let (p, m) = (path("/p"), mount("/m"));
    let is = |numbers: &str, from| (numbers.to_owned(), from);
    // What an agent runs with may be more, where it may grow.
    assert_eq!(number(&p, None, ADDITIVE, true, 60), is("* 60", from()));
    for (policy, running, told) in [
        (ADDITIVE, true, 50),
        (ADDITIVE, true, 40),
        (ADDITIVE, false, 60),
        (EQUAL, true, 60),
    ] {
        let found = number(&p, None, policy, running, told);
        assert_eq!(found, is("* 50", AdoptedFrom::SlaveInfo), "{policy} {told}");
    }
    // What is held.
    for (needed, numbers, from) in [
        (49, "* 50", AdoptedFrom::SlaveInfo),
        (50, "* 50", AdoptedFrom::SlaveInfo),
        (51, "* 51", AdoptedFrom::Checkpoint),
    ] {
        let found = number(&p, Some(needed), EQUAL, false, 0);
        assert_eq!(found, is(numbers, from));
    }
    // A MOUNT has exactly what is held of it.
    let found = number(&m, Some(20), ADDITIVE, true, 60);
    assert_eq!(found, is("* 20", AdoptedFrom::Checkpoint));
}

#[test]
fn only_before_there_is_any_number_a_source_that_cannot_be_read_stands_in_the_way() {
    let known = Known::Known(Vec::new());
    let unread = |from| Told {
        from,
        running: false,
        disks: Known::unknown("torn"),
    };
    let of_file = || vec![unread(AdoptedFrom::File("/resources".into()))];
    let of_flags = || vec![unread(AdoptedFrom::Flags("its unit".to_owned()))];
    for (has_numbers, registered, told, blocked, warnings) in [
        (false, Known::Absent, of_file(), true, 0),
        (false, known.clone(), of_file(), false, 1),
        (false, Known::Absent, of_flags(), false, 1),
        (true, Known::Absent, of_file(), false, 0),
        (true, Known::Absent, of_flags(), false, 0),
        (false, Known::unknown("EIO"), Vec::new(), true, 0),
        (true, Known::unknown("EIO"), Vec::new(), false, 0),
        (false, Known::Absent, Vec::new(), false, 0),
    ] {
        let mut ledger = Ledger::default();
        if has_numbers {
            ledger.roots.push(LedgerRoot {
                advertised: Some(Megabytes::whole(1)),
                ..LedgerRoot::new(path("/x"), 1)
            });
        }
        let agent = agent(registered, Vec::new(), EQUAL);
        let adoption = adopt(&ledger, &agent, &told, 7);
        assert_eq!(
            (adoption.blocked.is_some(), adoption.warnings.len()),
            (blocked, warnings),
            "{has_numbers} {agent:?} {told:?}"
        );
    }
}
