//! What of a memory has to be written down, and what is only a later look at the same.

use super::*;
use crate::decide::radar::AlarmKind;
use crate::mesos::disk::DiskType;
use crate::mesos::ids::{PersistenceId, Role};

fn key(id: &str) -> VolumeKey {
    VolumeKey::new(Role::new("r"), PersistenceId::new(id))
}

fn disk() -> DiskRef {
    DiskRef {
        kind: DiskType::Path,
        root: "/p".into(),
    }
}

fn moment(seconds: u64) -> Moment {
    Moment {
        boot_id: "b".to_owned(),
        since_boot: Span::seconds(seconds),
        wall_seconds: 0,
    }
}

fn record(id: &str, gone: bool) -> VolumeRecord {
    VolumeRecord {
        key: key(id),
        places: Vec::new(),
        size: None,
        principal: None,
        named_at: Span::seconds(1),
        held_in_run: None,
        held_in_file: None,
        held_in_boot: "b".to_owned(),
        pending_destroys: Vec::new(),
        lost: false,
        gone: gone.then(|| Gone {
            since: Span::seconds(1),
            since_boot: Span::seconds(1),
            boot_id: "b".to_owned(),
            evidence: None,
        }),
    }
}

fn sighting(id: &str) -> Sighting {
    Sighting {
        disk: disk(),
        key: key(id),
        identity: FileIdentity {
            filesystem: "f".to_owned(),
            handle: id.to_owned(),
        },
        first: Span::seconds(1),
        last: Span::seconds(2),
        times: 1,
    }
}

fn memory() -> Memory {
    Memory {
        volumes: vec![record("held", false), record("gone", true)],
        sightings: vec![sighting("a"), sighting("b")],
        ..Memory::new(&moment(0))
    }
}

fn alarm() -> AlarmSince {
    AlarmSince {
        kind: AlarmKind::MountedTwice,
        path: "/p".into(),
        lived: Span::ZERO,
        wall_seconds: 0,
    }
}

fn run() -> AgentRun {
    AgentRun {
        boot_id: "b".into(),
        inode: 1,
        mtime_nanos: 1,
    }
}

#[test]
fn a_later_look_at_the_same_is_no_news() {
    let later: [fn(&mut Memory); 4] = [
        |_| {},
        |memory| memory.clock.lived = Span::seconds(60),
        |memory| memory.volumes[0].named_at = Span::seconds(60),
        |memory| memory.sightings[1].last = Span::seconds(60),
    ];
    for (at, change) in later.into_iter().enumerate() {
        let mut then = memory();
        change(&mut then);
        assert!(memory().same_but_for_when(&then), "case {at}");
    }
    // Of a directory that is not there any more nobody asks again.
    let mut then = memory();
    then.sightings.remove(0);
    assert!(memory().same_but_for_when(&then));
}

#[test]
fn whatever_else_has_changed_is_news_by_itself() {
    let changes: [fn(&mut Memory); 21] = [
        |memory| memory.version = 2,
        |memory| memory.certain = true,
        |memory| memory.run = Some(run()),
        |memory| {
            memory.stale.push(StaleSince {
                key: key("a"),
                since: Span::ZERO,
            });
        },
        |memory| memory.empty_accepted_at = Some(Span::ZERO),
        |memory| memory.lost_across_start = true,
        |memory| {
            memory.spent_destroys.push(SpentDestroy {
                uuid: "u".to_owned(),
                key: key("a"),
            });
        },
        |memory| {
            memory.unwitnessed.push(UnwitnessedBatch {
                at: Span::ZERO,
                count: 1,
                of: 2,
            });
        },
        |memory| {
            memory.left_on.push(LeftOn {
                key: key("a"),
                disk: disk(),
                filesystem: Some("f".to_owned()),
                since: Span::ZERO,
            });
        },
        |memory| memory.alarms.push(alarm()),
        |memory| memory.volumes.push(record("more", false)),
        |memory| memory.volumes.truncate(1),
        |memory| memory.volumes[0].lost = true,
        |memory| memory.volumes[0].gone = record("held", true).gone,
        // When it was last named before it went is what its trash is measured by.
        |memory| memory.volumes[1].named_at = Span::seconds(60),
        |memory| memory.volumes[1].gone = None,
        |memory| {
            let evidence = Some(Evidence::GoneWithinRun);
            memory.volumes[1].gone.as_mut().unwrap().evidence = evidence;
        },
        |memory| memory.sightings.push(sighting("c")),
        |memory| memory.sightings[0].times = 2,
        |memory| memory.sightings[1].first = Span::seconds(2),
        |memory| memory.sightings[1].identity.handle = "another".to_owned(),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut then = memory();
        change(&mut then);
        assert!(!memory().same_but_for_when(&then), "case {at}");
    }
    let mut before = memory();
    before.volumes[1].gone = None;
    before.volumes[1].named_at = Span::ZERO;
    assert!(!before.same_but_for_when(&memory()));
}

#[test]
fn what_is_there_twice_is_no_memory_of_ours() {
    let read = |memory: &Memory| {
        let text = serde_json::to_string(memory).unwrap();
        serde_json::from_str::<Memory>(&text).map_err(|error| error.to_string())
    };
    // The same name on two disks is two directories.
    let mut on_two_disks = memory();
    on_two_disks.sightings.push(Sighting {
        disk: DiskRef {
            kind: DiskType::Path,
            root: "/q".into(),
        },
        ..sighting("a")
    });
    assert_eq!(read(&on_two_disks), Ok(on_two_disks));
    let doubles: [fn(&mut Memory); 3] = [
        |memory| memory.volumes.push(record("held", true)),
        |memory| {
            memory.sightings.push(Sighting {
                times: 9,
                ..sighting("held")
            });
            memory.sightings.push(sighting("held"));
        },
        |memory| {
            let since = Span::ZERO;
            let key = key("held");
            memory.stale.extend([
                StaleSince {
                    key: key.clone(),
                    since,
                },
                StaleSince { key, since },
            ]);
        },
    ];
    for (case, change) in doubles.into_iter().enumerate() {
        let mut then = memory();
        change(&mut then);
        let why = read(&then).unwrap_err();
        assert!(why.starts_with("r/held is there twice"), "{case}: {why}");
    }
}
