//! Whether a volume may be created, of what, and when the directory that was made for one may go again.

use mesos_volumed::decide::facts::{
    AgentAnswer, CheckpointFile, Facts, FileKind, HolderKind, Known, MountContent, OperationKind,
    OperationState, Registered, Why,
};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::ledger::{Ledger, LedgerRoot};
use mesos_volumed::decide::lifecycle::{
    Holder, NewPlace, Order, Stock, SupplyError, lies_there, may_create, may_withdraw, stock,
    supply,
};
use mesos_volumed::decide::manifest::TrashState;
use mesos_volumed::decide::prepare::{ReleaseFacts, Rule, release};
use mesos_volumed::mesos::disk::{DiskRef, SourceExtras};
use mesos_volumed::mesos::ids::Role;
use mesos_volumed::mesos::operator::{reserved, reserved_part, whole};
use mesos_volumed::mesos::resource::{Persistence, ReservationType, Resource};
use mesos_volumed::units::{Megabytes, Raw};

use super::builder::{
    DAY, WORK_DIR, World, a_volume, filesystem, fingerprint, healthy, identity, key, mount, path,
    root, unknown,
};
use super::own::changed;

const KEY: &str = "db/new";

fn host() -> Facts {
    let mut facts = healthy();
    facts.create(&root(), &key("db/stays"));
    facts.pass();
    facts.later(DAY);
    facts
}

fn codes(facts: &Facts, disk: &DiskRef) -> Vec<Refusal> {
    let why = may_create(facts, &key(KEY), disk, None).unwrap_err();
    assert!(!why.is_empty());
    why.into_iter().map(|reason| reason.code).collect()
}

fn may(facts: &Facts, disk: &DiskRef) -> NewPlace {
    may_create(facts, &key(KEY), disk, None).unwrap_or_else(|why| panic!("{disk}: {why:?}"))
}

#[test]
fn a_volume_is_created_where_nothing_lies_and_nobody_names_it() {
    let facts = host();
    let on_path = may(&facts, &path());
    assert_eq!(on_path.path, path().root.join("volumes/roles/db/new"));
    assert_eq!(on_path.root, fingerprint(&filesystem(&path())));
    assert_eq!(on_path.leftover, None);
    let place = on_path.place.unwrap();
    assert_eq!(
        (place.role_dir, place.id_dir),
        (Raw::from("db"), Raw::from("new"))
    );
    // A MOUNT is its own directory.
    let on_mount = may(&facts, &mount());
    assert_eq!((on_mount.path, on_mount.place), (mount().root, None));
}

type Case = (&'static str, fn(&mut Facts), Refusal);

#[test]
fn what_lies_in_its_place_or_is_anybodys_keeps_a_volume_from_being_created() {
    let cases: [Case; 12] = [
        (
            "it is held elsewhere",
            |f| f.create(&root(), &key(KEY)),
            Refusal::Held,
        ),
        (
            "a CREATE of it is pending",
            |f| {
                let volume = a_volume(&path(), &key(KEY));
                f.operate(OperationKind::Create, OperationState::Pending, 30, volume);
            },
            Refusal::PendingOperation,
        ),
        (
            "a change is in flight",
            |f| f.checkpoint.state_target = f.checkpoint.state.clone(),
            Refusal::PendingOperation,
        ),
        (
            "the checkpoint can't be read",
            |f| f.checkpoint.state = CheckpointFile::Damaged(Why("torn".to_owned())),
            Refusal::AuthorityUnknown,
        ),
        (
            "a directory lies there",
            |f| {
                f.mkdir(&path(), &key(KEY));
            },
            Refusal::Contested,
        ),
        (
            "nobody can look",
            |f| f.disk(&path()).dirs = unknown(),
            Refusal::Contested,
        ),
        (
            "data of that name lies in the trash of another disk",
            |f| {
                f.trash(&root(), &key(KEY), TrashState::Cleared);
            },
            Refusal::Contested,
        ),
        (
            "the trash can't be read",
            |f| f.disk(&path()).trash = unknown(),
            Refusal::ForeignTrash,
        ),
        (
            "an entry can't be read",
            |f| f.trash(&path(), &key("db/x"), TrashState::Moved).manifest = unknown(),
            Refusal::ForeignTrash,
        ),
        (
            "nothing is mounted",
            |f| f.disk(&path()).mount = Known::Absent,
            Refusal::NotMounted,
        ),
        (
            "another disk is mounted",
            |f| f.disk(&path()).filesystem.present = Known::Known(fingerprint("other")),
            Refusal::FingerprintMismatch,
        ),
        (
            "it can't be told which disk that is",
            |f| f.disk(&path()).filesystem.present = Known::Absent,
            Refusal::NoIdentity,
        ),
    ];
    for (what, change, code) in cases {
        let codes = codes(&changed(&host(), change), &path());
        assert!(codes.contains(&code), "{what}: {codes:?}");
    }
    let elsewhere = DiskRef {
        root: "/no/disk/of/ours".into(),
        ..path()
    };
    assert_eq!(codes(&host(), &elsewhere), [Refusal::ForeignRoot]);
}

#[test]
fn what_is_another_volumes_or_on_another_disk_keeps_none_from_being_created() {
    let cases: [fn(&mut Facts); 5] = [
        |f| {
            f.mkdir(&path(), &key("db/other"));
        },
        |f| {
            f.mkdir(&root(), &key(KEY));
        },
        |f| {
            f.trash(&path(), &key("db/other"), TrashState::Cleared);
        },
        |f| f.disk(&root()).trash = unknown(),
        |f| f.trash(&root(), &key("db/x"), TrashState::Moved).manifest = unknown(),
    ];
    for change in cases {
        may(&changed(&host(), change), &path());
    }
}

#[test]
fn a_mount_is_created_on_while_it_is_empty_and_nobodys() {
    let cases: [Case; 4] = [
        (
            "another volume has it",
            |f| f.state().resources.push(a_volume(&mount(), &key("db/m"))),
            Refusal::Held,
        ),
        (
            "data lies there",
            |f| f.disk(&mount()).content = Known::Known(MountContent::Data),
            Refusal::Contested,
        ),
        (
            "nothing is there",
            |f| f.disk(&mount()).content = Known::Absent,
            Refusal::NotMounted,
        ),
        (
            "nobody can look",
            |f| f.disk(&mount()).content = unknown(),
            Refusal::NotMounted,
        ),
    ];
    for (what, change, code) in cases {
        assert_eq!(codes(&changed(&host(), change), &mount()), [code], "{what}");
    }
}

#[test]
fn the_empty_directory_that_a_run_left_is_no_obstacle_and_another_is() {
    let mut facts = host();
    let left = facts.mkdir(&path(), &key(KEY)).identity.clone();
    let left = left.known().unwrap();
    assert_eq!(lies_there(&facts, &key(KEY), &path()), Some(left));
    assert_eq!(lies_there(&facts, &key("db/other"), &path()), None);
    assert_eq!(lies_there(&facts, &key(KEY), &root()), None);
    let new = may_create(&facts, &key(KEY), &path(), Some(left)).unwrap();
    assert_eq!(new.leftover.as_ref(), Some(left));
    let other = identity("other", 1);
    may_create(&facts, &key(KEY), &path(), Some(&other)).unwrap_err();
    // Somebody is about to write to it.
    let used = changed(&facts, |facts| {
        facts.hold(&path(), "volumes/roles/db/new", HolderKind::OpenFile);
    });
    let why = may_create(&used, &key(KEY), &path(), Some(left)).unwrap_err();
    assert_eq!(why[0].code, Refusal::InUseFd);
    // What is no directory is none that a run left.
    if let Known::Known(dirs) = &mut facts.disk(&path()).dirs {
        dirs[0].kind = FileKind::File;
    }
    assert_eq!(lies_there(&facts, &key(KEY), &path()), None);
    may_create(&facts, &key(KEY), &path(), Some(left)).unwrap_err();
}

#[test]
fn a_directory_that_was_made_goes_again_only_while_nobody_may_have_taken_it() {
    let facts = host();
    assert!(may_withdraw(&facts, &key(KEY)));
    let cases: [fn(&mut Facts); 4] = [
        |f| f.create(&path(), &key(KEY)),
        |f| f.checkpoint.state_target = f.checkpoint.state.clone(),
        |f| f.checkpoint.info_target = f.checkpoint.info.clone(),
        |f| f.tasks = unknown(),
    ];
    for change in cases {
        assert!(!may_withdraw(&changed(&facts, change), &key(KEY)));
    }
}

// What it is made of.

fn of(resources: Vec<Resource>) -> Registered {
    Registered {
        id: "agent-S0".into(),
        active: true,
        since: "1".to_owned(),
        resizes: true,
        resources,
        used: std::collections::BTreeSet::new(),
    }
}

fn mb(size: u64) -> Megabytes {
    Megabytes::whole(size)
}

fn free(disk: &DiskRef, size: u64) -> Resource {
    whole(disk, &SourceExtras::default(), mb(size))
}

fn db() -> Holder {
    Holder {
        role: Role::new("db"),
        principal: Some("ops".into()),
        labels: Vec::new(),
    }
}

/// Reserved as [`db`] wants it, but for a change.
fn held(size: u64, change: impl FnOnce(&mut Holder)) -> Resource {
    let mut holder = db();
    change(&mut holder);
    let Holder {
        role,
        principal,
        labels,
    } = holder;
    reserved(&free(&path(), size), &role, principal, labels).unwrap()
}

fn taken(resources: &[Resource], disk: &DiskRef, size: Option<u64>) -> Option<Stock> {
    let work_dir = Raw::from(WORK_DIR);
    stock(
        &of(resources.to_vec()),
        &work_dir,
        disk,
        &db(),
        size.map(mb),
    )
}

#[test]
fn a_volume_is_taken_of_what_is_large_enough_and_a_mount_as_a_whole() {
    let there = [free(&path(), 100), free(&mount(), 100)];
    let on_path = |size| taken(&there, &path(), size);
    assert_eq!(on_path(Some(100)), Some(Stock::Free(there[0].clone())));
    assert_eq!(on_path(Some(99)), Some(Stock::Free(there[0].clone())));
    assert_eq!(on_path(Some(101)), None);
    assert_eq!(on_path(None), None);
    let on_mount = |size| taken(&there, &mount(), size);
    assert_eq!(on_mount(None), Some(Stock::Free(there[1].clone())));
    assert_eq!(on_mount(Some(100)), Some(Stock::Free(there[1].clone())));
    assert_eq!(on_mount(Some(99)), None);
    assert_eq!(taken(&there, &root(), Some(1)), None);
}

#[test]
fn what_is_reserved_as_wanted_is_used_first_and_what_is_anybodys_not_at_all() {
    let size = Some(10);
    let ours = held(10, |_| {});
    let both = [free(&path(), 100), ours.clone()];
    assert_eq!(
        taken(&both, &path(), size),
        Some(Stock::Reserved(ours.clone()))
    );
    // Not enough is reserved.
    assert_eq!(
        taken(&both, &path(), Some(11)),
        Some(Stock::Free(both[0].clone()))
    );
    // `--resources` reserved it: of whoever.
    let mut of_flags = held(10, |holder| holder.principal = None);
    of_flags.reservations[0].kind = ReservationType::Static;
    assert_eq!(
        taken(&[of_flags.clone()], &path(), size),
        Some(Stock::Reserved(of_flags))
    );
    let mut unread = ours.clone();
    unread.reservations[0].kind = ReservationType::Unknown(9);
    let others = [
        held(10, |holder| holder.role = Role::new("web")),
        held(10, |holder| holder.principal = Some("marathon".into())),
        held(10, |holder| holder.labels = vec![("a".into(), None)]),
        unread,
        a_volume(&path(), &key("db/x")),
        Resource {
            shared: true,
            ..ours.clone()
        },
        Resource {
            provider_id: Some("csi".into()),
            ..ours.clone()
        },
        changed_source(&ours),
        free(&mount(), 10),
    ];
    for other in others {
        assert_eq!(
            taken(std::slice::from_ref(&other), &path(), size),
            None,
            "{other:?}"
        );
    }
}

/// Of a resource provider: it lies elsewhere.
fn changed_source(of: &Resource) -> Resource {
    let mut of = of.clone();
    of.source.as_mut().unwrap().id = Some("volume-1".into());
    of
}

#[test]
fn what_the_role_above_has_is_reserved_further_below_it() {
    let theirs = reserved(&free(&path(), 10), &Role::new("db"), None, Vec::new()).unwrap();
    let holder = Holder {
        role: Role::new("db/dev"),
        ..db()
    };
    let work_dir = Raw::from(WORK_DIR);
    let order = Order {
        disk: path(),
        size: Some(mb(4)),
        holder,
        persistence: Persistence {
            id: key("db/dev/v").id,
            principal: Some("ops".into()),
            container_path: Some("data".into()),
        },
        shared: false,
    };
    let supplied = supply(&of(vec![theirs.clone()]), &work_dir, &order).unwrap();
    let part = reserved_part(&theirs, mb(4));
    let wanted = reserved(&part, &Role::new("db/dev"), Some("ops".into()), Vec::new()).unwrap();
    assert_eq!(supplied.reserve, Some(wanted.clone()));
    assert_eq!(supplied.create.reservations, wanted.reservations);
    assert_eq!(supplied.create.megabytes(), Some(mb(4)));
    // It needs no second reservation.
    let again = supply(&of(vec![wanted]), &work_dir, &order).unwrap();
    assert_eq!(again.reserve, None);
    let none = supply(&of(Vec::new()), &work_dir, &order).unwrap_err();
    assert!(matches!(none, SupplyError::TooLittle { .. }));
}

// When a disk may be taken from the agent.

#[test]
fn a_disk_is_given_back_to_the_host_once_no_file_of_the_agent_names_it() {
    let ledger = Ledger {
        roots: vec![LedgerRoot::new(mount(), 0)],
        ..Ledger::default()
    };
    let is_held = |facts: &Facts| {
        let judged = release(&ReleaseFacts {
            facts,
            root: mount().root,
            record: Known::Absent,
            ledger: &ledger,
            trash: Known::Absent,
            data: Known::Absent,
            umount: Known::Absent,
            systemctl: Known::Absent,
            systemd: false,
        });
        judged.refusals().any(|tried| tried.rule == Rule::Held)
    };
    // The agent offers it.
    let offered = changed(&host(), |facts| {
        if let AgentAnswer::State(state) = &mut facts.answer {
            state.resources.push(free(&mount(), 100));
        }
    });
    assert!(!is_held(&offered));
    let reserved = changed(&offered, |facts| {
        let role = Role::new("db");
        let held = reserved(&free(&mount(), 100), &role, None, Vec::new()).unwrap();
        facts.state().resources.push(held);
    });
    assert!(is_held(&reserved));
}
