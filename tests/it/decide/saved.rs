//! A host that was saved is the host that was seen, and what its facts say of themselves.

use mesos_volumed::decide::facts::{
    AgentView, Facts, FsFailure, HiddenSide, Known, TrashFacts, WipeMethod, WipeMode,
};
use mesos_volumed::decide::manifest::TrashState;
use mesos_volumed::mesos::disk::DiskRef;
use mesos_volumed::units::Span;

use super::builder::{
    World, a_master, a_registration, a_volume, healthy, identity, key, mount, path, root, unknown,
};

fn again(facts: &Facts) -> Facts {
    serde_json::from_str(&serde_json::to_string(facts).unwrap()).unwrap()
}

#[test]
fn facts_are_read_back_as_they_were_saved() {
    let usual = healthy();
    assert_eq!(again(&usual), usual);
    let mut facts = healthy();
    facts.create(&path(), &key("r/a"));
    facts.mark(&path(), &key("r/a"), None);
    facts.disk(&mount()).hidden = Known::Known(HiddenSide {
        path: "/hidden".into(),
        directory: identity("x", 3),
    });
    facts.disk(&root()).view = AgentView::Unknown("it hangs".into());
    facts.policy.wipe = WipeMethod {
        mode: WipeMode::Overwrite,
        strict: true,
        passes: 3,
        verify: false,
    };
    facts.policy.trash.min_retention = Span::seconds(7);
    let volume = a_volume(&path(), &key("r/a"));
    facts.master = Known::Known(a_master(a_registration("now", &[volume])));
    assert_eq!(again(&facts), facts);
    facts.master = unknown();
    facts.disk(&mount()).hidden = unknown();
    facts.disk(&path()).adopted = unknown();
    assert_eq!(again(&facts), facts);
}

#[test]
fn the_agents_own_word_is_of_the_volumes_that_it_names() {
    let mut facts = healthy();
    assert!(!facts.answer.names(&key("r/a")));
    facts.create(&path(), &key("r/b"));
    assert!(!facts.answer.names(&key("r/a")));
    facts.create(&path(), &key("r/a"));
    assert!(facts.answer.names(&key("r/a")));
    facts.stop_agent();
    assert!(!facts.answer.names(&key("r/a")));
}

#[test]
fn marks_and_trash_of_a_prepared_mount_lie_on_its_hidden_side() {
    let mut facts = healthy();
    let paths = |facts: &mut Facts| {
        let root = facts.disk(&mount());
        [root.trash_path(), root.adopted_path()].map(|path| path.to_string())
    };
    let ours = "/dcos/volume0/volumes/.mesos-volumed";
    assert_eq!(
        paths(&mut facts),
        [format!("{ours}/trash"), format!("{ours}/adopted")]
    );
    facts.disk(&mount()).hidden = Known::Known(HiddenSide {
        path: "/hidden".into(),
        directory: identity("x", 3),
    });
    assert_eq!(
        paths(&mut facts),
        [
            "/hidden/.mesos-volumed/trash",
            "/hidden/.mesos-volumed/adopted"
        ]
    );
    if let Known::Known(mount) = &mut facts.disk(&mount()).mount {
        assert!(mount.failure.is_none());
    }
    for fs_type in ["ext4", "xfs"] {
        if let Known::Known(mount) = &mut facts.disk(&mount()).mount {
            mount.fs_type = fs_type.to_owned();
        }
        assert_eq!(facts.disk(&mount()).is_on_xfs(), fs_type == "xfs");
    }
    for failure in [FsFailure::Failed, FsFailure::DeviceGone] {
        assert_eq!(failure("EIO".to_owned()).what(), "EIO");
    }
}

#[test]
fn a_mount_is_half_moved_by_an_entry_with_data_whose_manifest_says_no_more_or_nothing() {
    let half = |change: fn(&mut TrashFacts), disk: DiskRef| {
        let mut facts = healthy();
        let entry = facts.trash(&disk, &key("r/m"), TrashState::Prepared);
        change(entry);
        facts.disk(&disk).half_moved().count()
    };
    assert_eq!(half(|_| {}, mount()), 1);
    assert_eq!(half(|_| {}, path()), 0);
    assert_eq!(half(|entry| entry.data = Known::Absent, mount()), 0);
    assert_eq!(half(|entry| entry.data = unknown(), mount()), 1);
    assert_eq!(half(|entry| entry.manifest = unknown(), mount()), 1);
    assert_eq!(half(|entry| entry.manifest = Known::Absent, mount()), 0);
    assert_eq!(
        half(
            |entry| {
                entry.data = Known::Absent;
                entry.manifest = unknown();
            },
            mount()
        ),
        0
    );
    let moved = |entry: &mut TrashFacts| {
        if let Known::Known(manifest) = &mut entry.manifest {
            manifest.state = TrashState::Moved;
        }
    };
    assert_eq!(half(moved, mount()), 0);
}
