//! What `volumes list` and `trash list` say of a host: each thing once, in its state, with every reason.

use mesos_volumed::decide::authority::Claims;
use mesos_volumed::decide::facts::{
    AgentView, Facts, FileKind, FreeBelow, HiddenSide, HolderKind, Known, OperationKind,
    OperationState, ProviderState, ResourceState, RootWitness, StrangeEntry,
};
use mesos_volumed::decide::listing;
use mesos_volumed::decide::manifest::{Manifest, TrashState};
use mesos_volumed::decide::plan::plan;
use mesos_volumed::units::{Bytes, Megabytes, Span};

use super::builder::{
    World, a_task, a_volume, filesystem, fingerprint, healthy, identity, key, mount, path, root,
};

/// Every row: volume, type of disk, path, state, and the codes of its reasons.
fn rows(facts: &Facts) -> Vec<String> {
    let rows = listing::volumes(facts, &plan(facts));
    rows.iter()
        .map(|row| {
            let key = row.key.as_ref();
            let key = key.map_or_else(|| "-".to_owned(), ToString::to_string);
            let kind = row.disk.as_ref().map(|disk| disk.kind);
            let kind = kind.map_or_else(|| "-".to_owned(), |kind| kind.to_string());
            let codes: Vec<&str> = row.reasons.iter().map(|one| one.code.code()).collect();
            let (path, state) = (&row.path, row.state.word());
            format!("{key} {kind} {path} {state} [{}]", codes.join(", "))
        })
        .collect()
}

/// Where the first entry in the trash of PATH lies.
const ENTRY: &str = "/mnt/data/volumes/.mesos-volumed/trash/1700000000-0000000000000abc-0";

/// A volume of PATH is named, and its directory is not there.
fn vanished() -> Facts {
    let mut facts = healthy();
    facts.create(&path(), &key("r/a"));
    facts.pass();
    facts.rmdir(&path(), &key("r/a"));
    facts
}

/// An entry in the trash, of a destroy that the agent has not confirmed, or has.
fn entry(facts: &mut Facts, volume: &str, unconfirmed: bool) {
    let entry = facts.trash(&path(), &key(volume), TrashState::Moved);
    if let Known::Known(manifest) = &mut entry.manifest {
        manifest.unconfirmed = unconfirmed;
    }
}

#[test]
fn everything_on_a_host_is_a_row_in_its_state() {
    let mut facts = healthy();
    facts.create(&root(), &key("r/held"));
    facts.create(&path(), &key("r/pending"));
    facts.create(&path(), &key("r/gone"));
    facts.create(&mount(), &key("r/m"));
    facts.pass();
    facts.later(60);
    let volume = a_volume(&path(), &key("r/pending"));
    facts.operate(OperationKind::Destroy, OperationState::Pending, 4, volume);
    facts.destroy(&key("r/gone"), 5);
    facts.destroy(&key("r/m"), 6);
    facts.hold(&path(), "volumes/roles/r/gone", HolderKind::OpenFile);
    facts.mkdir(&path(), &key("r/held"));
    facts.mkdir(&path(), &key("x/left"));
    facts.mkdir(&path(), &key("x/link")).kind = FileKind::Symlink;
    facts.disk(&path()).strange.push(StrangeEntry {
        path: "volumes/roles/file".into(),
        kind: FileKind::File,
        reason: "it is a file".to_owned(),
    });
    facts.trash(&path(), &key("r/old"), TrashState::Moved);
    facts.tasks = Known::Known(vec![a_task(&key("r/task"))]);
    facts.later(60);
    let no_barrier = ["no_barrier"; 4].join(", ");
    assert_eq!(
        rows(&facts),
        [
            "- PATH /mnt/data/volumes/roles/file foreign [not_a_volume_path]".to_owned(),
            // By the planner and by the radar.
            "r/gone PATH /mnt/data/volumes/roles/r/gone destroyed [in_use_fd, in_use_fd]".into(),
            "r/held PATH /mnt/data/volumes/roles/r/held held [held]".into(),
            "r/held ROOT /var/lib/mesos/slave/volumes/roles/r/held held []".into(),
            format!("r/m MOUNT /dcos/volume0 destroyed [{no_barrier}]"),
            "r/old PATH /mnt/data/volumes/.mesos-volumed/trash/1700000060-0000000000000abc-0 trashed \
             []"
            .into(),
            "r/pending PATH /mnt/data/volumes/roles/r/pending pending [pending_operation]".into(),
            "r/task - volumes/roles/r/task held []".into(),
            "x/left PATH /mnt/data/volumes/roles/x/left orphan [grace_period]".into(),
            "x/link PATH /mnt/data/volumes/roles/x/link foreign [symlink, grace_period]".into(),
        ]
    );
    // What a destroyed volume was is told as long as its data is there.
    let listed = listing::volumes(&facts, &plan(&facts));
    for row in &listed {
        let name = row.key.as_ref().map(ToString::to_string);
        let is_known = ["r/gone", "r/m", "r/pending"].contains(&name.as_deref().unwrap_or("-"))
            || row.disk == Some(root());
        let size = is_known.then(|| Megabytes::whole(512));
        assert_eq!(row.size, size, "{row:?}");
        assert_eq!(row.principal.is_some(), is_known, "{row:?}");
    }
    assert_eq!(
        listing::held_on(&Claims::join(&facts), &path()),
        [key("r/pending")]
    );
}

#[test]
fn a_volume_has_vanished_only_from_a_disk_that_is_there() {
    let facts = vanished();
    let there = "r/a PATH /mnt/data/volumes/roles/r/a vanished []";
    assert_eq!(rows(&facts), [there]);
    let mut other = facts.clone();
    other.disk(&path()).filesystem.present = Known::Known(fingerprint(&filesystem(&root())));
    assert_eq!(
        rows(&other),
        ["r/a PATH /mnt/data/volumes/roles/r/a held [fingerprint_mismatch, fingerprint_mismatch]"]
    );
    let mut unmounted = facts;
    unmounted.disk(&path()).mount = Known::Absent;
    assert_eq!(
        rows(&unmounted),
        ["r/a PATH /mnt/data/volumes/roles/r/a held [not_mounted]"]
    );
}

#[test]
fn a_directory_that_lies_in_the_trash_unconfirmed_is_told_from_one_that_is_lost() {
    let mut facts = vanished();
    entry(&mut facts, "r/a", true);
    assert_eq!(
        rows(&facts),
        [
            format!("r/a PATH {ENTRY} trashed [unconfirmed]"),
            "r/a PATH /mnt/data/volumes/roles/r/a vanished [unconfirmed]".to_owned(),
        ]
    );
    // Neither an older life of it nor another's destroy is where it went.
    for (volume, unconfirmed) in [("r/a", false), ("r/b", true)] {
        let mut facts = vanished();
        entry(&mut facts, volume, unconfirmed);
        let row = "r/a PATH /mnt/data/volumes/roles/r/a vanished []".to_owned();
        assert!(rows(&facts).contains(&row), "{:?}", rows(&facts));
    }
}

#[test]
fn what_lies_on_a_root_that_is_not_the_agents_is_foreign() {
    let mut facts = healthy();
    facts.mkdir(&path(), &key("x/left"));
    facts.disk(&path()).view = AgentView::Other("another file system".into());
    assert_eq!(
        rows(&facts),
        ["x/left PATH /mnt/data/volumes/roles/x/left orphan [other_view, grace_period]"]
    );
    facts.disk(&path()).named_by = [RootWitness::Config].into();
    assert_eq!(
        rows(&facts),
        ["x/left PATH /mnt/data/volumes/roles/x/left foreign \
             [foreign_root, other_view, grace_period]"]
    );
}

#[test]
fn what_only_a_storage_provider_names_says_whose_file_it_is() {
    let mut facts = healthy();
    let provider = |file: &str, volume: &str| ProviderState {
        file: file.into(),
        content: ResourceState {
            resources: vec![a_volume(&path(), &key(volume))],
            operations: Vec::new(),
        },
    };
    let (ours, earlier) = (
        "meta/slaves/agent-S0/resource_providers/a/b/resource_provider.state",
        "meta/slaves/agent-S9/resource_providers/a/b/resource_provider.state",
    );
    facts.providers = Known::Known(vec![provider(ours, "r/ours"), provider(earlier, "r/left")]);
    facts.create(&path(), &key("r/both"));
    if let Known::Known(providers) = &mut facts.providers {
        providers.push(provider(earlier, "r/both"));
    }
    for volume in ["r/left", "r/ours"] {
        facts.mkdir(&path(), &key(volume));
    }
    let rows = listing::volumes(&facts, &plan(&facts));
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            let details = row.reasons.iter().map(|one| one.detail.as_str());
            (row.key.clone().unwrap(), details.collect::<String>())
        })
        .collect();
    assert_eq!(
        told,
        [
            (key("r/both"), String::new()),
            (
                key("r/left"),
                format!(
                    "named by {earlier} alone, which belongs to an earlier id of the agent: no agent \
                     reads it any more. Where its data is not wanted, move the file away"
                )
            ),
            (key("r/ours"), format!("named by {ours} alone")),
        ]
    );
}

#[test]
fn a_tenant_of_a_mount_is_told_what_another_may_have_left_there() {
    let mut facts = healthy();
    facts.create(&mount(), &key("x/m"));
    facts.pass();
    facts.forget(&key("x/m"));
    facts.create(&mount(), &key("x/tenant"));
    assert_eq!(
        rows(&facts),
        ["x/tenant MOUNT /dcos/volume0 held [report_only]"]
    );
}

#[test]
fn a_mount_that_is_wanted_is_a_row_once_its_data_is_back_and_while_nobody_names_it() {
    let wanted = "r/m MOUNT /dcos/volume0 orphan [adopted]";
    let mut facts = healthy();
    facts.mark(&mount(), &key("r/m"), None);
    assert_eq!(rows(&facts), [wanted]);
    facts.create(&mount(), &key("r/m"));
    assert_eq!(rows(&facts), ["r/m MOUNT /dcos/volume0 held []"]);
    // A restore that is under way.
    let mut facts = healthy();
    facts.disk(&mount()).hidden = Known::Known(HiddenSide {
        path: "/hidden".into(),
        directory: identity("x", 3),
    });
    let entry = facts.trash(&mount(), &key("r/m"), TrashState::Cleared);
    let id = entry.id.clone();
    facts.mark(&mount(), &key("r/m"), Some(id));
    let states: Vec<_> = listing::volumes(&facts, &plan(&facts))
        .iter()
        .map(|row| row.state.word())
        .collect();
    assert_eq!(states, ["trashed"]);
    facts.disk(&mount()).trash = Known::Known(Vec::new());
    assert_eq!(rows(&facts), [wanted]);
}

/// A host with one entry in the trash of PATH, two minutes old.
fn trashed(change: fn(&mut Manifest)) -> Facts {
    let mut facts = healthy();
    facts.pass();
    let entry = facts.trash(&path(), &key("r/old"), TrashState::Cleared);
    if let Known::Known(manifest) = &mut entry.manifest {
        manifest.retention = Span::seconds(600);
        change(manifest);
    }
    facts.later(120);
    facts
}

#[test]
fn the_trash_says_when_each_entry_goes_and_whether_it_may_go_before() {
    let same: fn(&mut Manifest) = |_| {};
    let facts = trashed(same);
    let [item] = &listing::trash(&facts, &plan(&facts))[..] else {
        panic!("one entry");
    };
    assert_eq!(item.age, Some(Span::seconds(120)));
    assert_eq!(item.expires_in, Some(Span::seconds(480)));
    let now = facts.host.now.wall_seconds;
    assert_eq!(item.expires_at, Some(now + 480));
    let budget: fn(&mut Facts) = |facts| facts.policy.trash.max_bytes = Some(Bytes(1 << 40));
    let room: fn(&mut Facts) = |facts| facts.policy.trash.free_below = Some(FreeBelow::Percent(1));
    let long: fn(&mut Facts) = |facts| {
        facts.policy.trash.max_bytes = Some(Bytes(1 << 40));
        facts.policy.trash.min_retention = Span::seconds(121);
    };
    let just: fn(&mut Facts) = |facts| {
        facts.policy.trash.max_bytes = Some(Bytes(1 << 40));
        facts.policy.trash.min_retention = Span::seconds(120);
    };
    let none: fn(&mut Facts) = |_| {};
    let moved: fn(&mut Manifest) = |manifest| manifest.state = TrashState::Moved;
    let theirs: fn(&mut Manifest) = |manifest| manifest.machine_id = "another".into();
    for (at, (policy, manifest, early)) in [
        (none, same, false),
        (budget, same, true),
        (room, same, true),
        (just, same, true),
        (long, same, false),
        (budget, moved, false),
        // What is another's never goes.
        (budget, theirs, false),
    ]
    .into_iter()
    .enumerate()
    {
        let mut facts = trashed(manifest);
        policy(&mut facts);
        let [item] = &listing::trash(&facts, &plan(&facts))[..] else {
            panic!("one entry");
        };
        assert_eq!(item.may_go_early, early, "case {at}: {item:?}");
        let stays = item
            .reasons
            .iter()
            .any(|one| one.code.code() == "foreign_trash");
        assert_eq!(stays, at == 6);
        assert_eq!(item.expires_in.is_none(), stays);
    }
}
