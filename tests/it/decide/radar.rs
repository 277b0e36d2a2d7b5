//! The radar raises what operators had to find by hand, and nothing that is normal.

use mesos_volumed::decide::facts::{
    CheckpointFile, ContainerRun, Facts, FsLocation, Holder, HolderKind, Known, MountView,
    Mounting, RunEnd,
};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::listing;
use mesos_volumed::decide::manifest::TrashState;
use mesos_volumed::decide::plan::plan;
use mesos_volumed::decide::radar::{Alarm, AlarmKind};
use mesos_volumed::mesos::disk::DiskRef;
use mesos_volumed::mesos::ids::VolumeKey;
use mesos_volumed::mesos::paths;

use super::builder::{World, healthy, key, mount, path, root, unknown};

const OLD: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const NEW: &str = "bbbbbbbb-0000-4000-8000-000000000002";
const HOST: &str = "mnt:[1]";

/// The place of a volume in its file system.
fn place(facts: &Facts, disk: &DiskRef, key: &VolumeKey) -> FsLocation {
    let root = facts.roots.iter().find(|root| root.disk == *disk).unwrap();
    let location = root.mount.known().unwrap().location.clone();
    if disk == &mount() {
        return location;
    }
    FsLocation {
        path: location.path.join(paths::volume_directory(key)),
        ..location
    }
}

fn sandbox(container: &str, tail: &str) -> String {
    format!("/slaves/S0/frameworks/F/executors/db.1/runs/{container}{tail}")
}

fn view(namespace: &str, mount_point: &str, pid: i32) -> MountView {
    MountView {
        namespace: namespace.into(),
        host: namespace == HOST,
        mount_point: mount_point.into(),
        pids: vec![pid],
        processes: 1,
        command: "db".into(),
        sandboxes: Vec::new(),
        cgroup: None,
    }
}

/// A mount of the volume on `at`, a path of ROOT's file system, as these namespaces see it.
fn mounting(facts: &Facts, of: FsLocation, at: &str, views: Vec<MountView>) -> Mounting {
    let root = facts.roots.iter().find(|r| r.disk == root()).unwrap();
    let device = root.mount.known().unwrap().device;
    Mounting {
        location: of,
        inside: false,
        lies_on: Some(FsLocation {
            device,
            path: at.into(),
        }),
        namespaces: u32::try_from(views.len()).unwrap(),
        views,
    }
}

fn add(facts: &mut Facts, mounting: Mounting) {
    match &mut facts.mountings {
        Known::Known(mountings) => mountings.push(mounting),
        Known::Absent | Known::Unknown(_) => panic!(),
    }
}

/// The volume in the container's sandbox, in the host's namespace and its own.
fn run(facts: &mut Facts, disk: &DiskRef, key: &VolumeKey, container: &str, pid: i32) {
    let at = sandbox(container, "/data");
    let of = place(facts, disk, key);
    let views = vec![view(HOST, &at, 1), view(&format!("mnt:[{pid}]"), &at, pid)];
    let mounting = mounting(facts, of, &at, views);
    add(facts, mounting);
}

fn ended(facts: &mut Facts, container: &str, ended: Known<RunEnd>) {
    let run = ContainerRun {
        id: container.into(),
        framework: "F".into(),
        executor: "db.1".into(),
        ended,
    };
    facts.containers = Known::Known(vec![run]);
}

fn alarms(facts: &Facts) -> Vec<Alarm> {
    listing::all(facts, &plan(facts))
        .alarms
        .known()
        .unwrap()
        .clone()
}

fn kinds(facts: &Facts) -> Vec<AlarmKind> {
    alarms(facts).iter().map(|alarm| alarm.kind).collect()
}

fn held() -> (Facts, VolumeKey) {
    let mut facts = healthy();
    let key = key("r/db");
    facts.create(&path(), &key);
    facts.pass();
    (facts, key)
}

#[test]
fn a_mount_that_every_new_container_inherits_is_one_mounting() {
    let (mut facts, key) = held();
    let at = sandbox(OLD, "/data");
    let mut views = vec![view(HOST, &at, 1)];
    views.extend((20..40).map(|pid| view(&format!("mnt:[{pid}]"), &at, pid)));
    let mounting = mounting(&facts, place(&facts, &path(), &key), &at, views);
    add(&mut facts, mounting);
    assert_eq!(kinds(&facts), []);
}

#[test]
fn a_pod_and_dockers_own_bind_mount_are_one_container() {
    let (mut facts, key) = held();
    run(&mut facts, &path(), &key, OLD, 20);
    // A task of the pod is given its executor's volume.
    let child = sandbox(OLD, "/containers/child/data");
    let of = place(&facts, &path(), &key);
    let nested = mounting(
        &facts,
        of.clone(),
        &child,
        vec![view("mnt:[21]", &child, 21)],
    );
    add(&mut facts, nested);
    // Docker binds it from the sandbox into the container's own tree, and mounts the sandbox.
    let mut docker = view("mnt:[22]", "/var/lib/postgres", 22);
    docker.sandboxes = vec![OLD.into()];
    docker.cgroup = Some("docker-0a1b2c3d4e5f".into());
    let docker = mounting(
        &facts,
        of,
        "/overlay2/x/merged/var/lib/postgres",
        vec![docker],
    );
    add(&mut facts, docker);
    assert_eq!(kinds(&facts), []);
}

#[test]
fn two_containers_on_one_volume_are_named_unless_mesos_shares_it() {
    for disk in [path(), mount()] {
        let mut facts = healthy();
        let key = key("r/db");
        facts.create(&disk, &key);
        run(&mut facts, &disk, &key, OLD, 20);
        run(&mut facts, &disk, &key, NEW, 30);
        facts.pass();
        let [alarm] = &alarms(&facts)[..] else {
            panic!("{:?}", alarms(&facts));
        };
        assert_eq!((alarm.kind, &alarm.volume), (AlarmKind::MountedTwice, &key));
        let of: Vec<String> = alarm
            .users
            .iter()
            .map(|user| user.container.as_ref().unwrap().to_string())
            .collect();
        assert_eq!(of, [OLD, NEW]);
        let rows = listing::volumes(&facts, &plan(&facts));
        let row = rows
            .iter()
            .find(|row| row.key.as_ref() == Some(&key))
            .unwrap();
        assert!(
            row.reasons
                .iter()
                .any(|reason| reason.code == Refusal::InUseMount
                    && reason.detail.starts_with("mounted_twice: ")
                    && reason.detail.contains(NEW)),
            "{:?}",
            row.reasons
        );

        for resource in &mut facts.state().resources {
            resource.shared = resource.persistence.is_some();
        }
        assert_eq!(kinds(&facts), []);
    }
}

#[test]
fn a_mount_of_somebody_else_beside_a_containers_counts_twice_and_alone_does_not() {
    let (mut facts, key) = held();
    let of = place(&facts, &path(), &key);
    let backup = mounting(
        &facts,
        of,
        "/mnt/backup",
        vec![view(HOST, "/mnt/backup", 1)],
    );
    add(&mut facts, backup);
    assert_eq!(kinds(&facts), []);
    run(&mut facts, &path(), &key, OLD, 20);
    assert_eq!(kinds(&facts), [AlarmKind::MountedTwice]);
    assert!(alarms(&facts)[0].to_string().contains("/mnt/backup"));
}

#[test]
fn what_systemd_runs_on_the_host_is_no_container_and_what_docker_runs_is_one() {
    for (host, kinds_of) in [(false, vec![]), (true, vec![AlarmKind::MountedTwice])] {
        let (mut facts, key) = held();
        for (at, pid) in [("/srv/one", 31), ("/srv/two", 32)] {
            let mut seen = view(&format!("mnt:[{pid}]"), at, pid);
            seen.host = host;
            seen.cgroup = Some("docker-0a1b2c3d4e5f".into());
            let of = place(&facts, &path(), &key);
            let mounting = mounting(&facts, of, at, vec![seen]);
            add(&mut facts, mounting);
        }
        assert_eq!(kinds(&facts), kinds_of);
    }
}

#[test]
fn a_volume_that_systemd_mounted_on_itself_is_neither_twice_nor_inside() {
    let (mut facts, key) = held();
    run(&mut facts, &path(), &key, OLD, 20);
    let of = place(&facts, &path(), &key);
    let mut on_itself = mounting(&facts, of.clone(), "/", vec![view("mnt:[9]", "/v", 9)]);
    on_itself.lies_on = Some(of);
    add(&mut facts, on_itself.clone());
    on_itself.inside = true;
    add(&mut facts, on_itself);
    assert_eq!(kinds(&facts), []);
}

#[test]
fn a_mount_that_a_dead_container_left_behind_is_named_with_who_keeps_it() {
    let (mut facts, key) = held();
    let at = sandbox(OLD, "/data");
    let of = place(&facts, &path(), &key);
    let left = mounting(&facts, of, &at, vec![view("mnt:[77]", &at, 77)]);
    add(&mut facts, left);
    ended(&mut facts, OLD, Known::Absent);
    assert_eq!(kinds(&facts), []);
    ended(&mut facts, OLD, Known::Known(RunEnd::Sentinel));
    let alarm = &alarms(&facts)[0];
    assert_eq!(alarm.kind, AlarmKind::DeadContainer);
    let user = &alarm.users[0];
    assert_eq!(
        (user.pids.as_slice(), user.namespace.clone()),
        (&[77][..], Some("mnt:[77]".into()))
    );
    // The next tenant's container makes it twice.
    run(&mut facts, &path(), &key, NEW, 80);
    assert_eq!(
        kinds(&facts),
        [AlarmKind::MountedTwice, AlarmKind::DeadContainer]
    );
}

#[test]
fn a_process_that_is_gone_is_the_agents_to_clean_up_for_a_minute() {
    let (mut facts, key) = held();
    run(&mut facts, &path(), &key, OLD, 20);
    ended(&mut facts, OLD, Known::Known(RunEnd::ProcessGone(20)));
    facts.pass();
    assert_eq!(kinds(&facts), []);
    facts.later(59);
    facts.pass();
    assert_eq!(kinds(&facts), []);
    facts.later(1);
    facts.pass();
    assert_eq!(kinds(&facts), [AlarmKind::DeadContainer]);
    // Without an agent nobody cleans up.
    let (mut facts, key) = held();
    run(&mut facts, &path(), &key, OLD, 20);
    ended(&mut facts, OLD, Known::Known(RunEnd::ProcessGone(20)));
    facts.stop_agent();
    assert_eq!(kinds(&facts), [AlarmKind::DeadContainer]);
}

#[test]
fn what_mesos_destroyed_and_somebody_uses_is_named_and_kept_but_not_for_the_agent() {
    for kind in [HolderKind::OpenFile, HolderKind::WorkingDirectory] {
        let (mut facts, key) = held();
        facts.destroy(&key, 7);
        facts.later(10);
        facts.pass();
        assert_eq!(kinds(&facts), []);
        let below = format!("volumes/roles/r/{}", key.id);
        facts.hold(&path(), &below, kind);
        let found = alarms(&facts);
        assert_eq!(found[0].kind, AlarmKind::InUseDestroyed);
        let plan = plan(&facts);
        let kept = plan
            .kept
            .iter()
            .find(|kept| kept.volume.as_ref() == Some(&key))
            .unwrap();
        assert!(
            kept.reasons
                .iter()
                .any(|reason| reason.code == Refusal::InUseFd)
        );
        assert!(plan.steps.is_empty(), "{:?}", plan.steps);
        // The agent deletes it.
        for holder in holders(&mut facts) {
            holder.pid = 812;
        }
        assert_eq!(kinds(&facts), []);
        // Where no authority can be read, no name is no destroy.
        facts.hold(&path(), &below, kind);
        facts.checkpoint.state = CheckpointFile::Damaged(unknown::<()>().why().unwrap().clone());
        assert_eq!(kinds(&facts), []);
    }
}

fn holders(facts: &mut Facts) -> &mut Vec<Holder> {
    match &mut facts.holders {
        Known::Known(holders) => holders,
        Known::Absent | Known::Unknown(_) => panic!(),
    }
}

#[test]
fn what_is_used_in_the_trash_is_in_use_though_destroyed() {
    let (mut facts, key) = held();
    facts.forget(&key);
    facts.rmdir(&path(), &key);
    let entry = facts
        .trash(&path(), &key, TrashState::Cleared)
        .location
        .clone();
    facts.later(10);
    facts.pass();
    let of = entry.known().unwrap().clone();
    let mounting = mounting(&facts, of, "/mnt/x", vec![view(HOST, "/mnt/x", 1)]);
    add(&mut facts, mounting);
    assert_eq!(kinds(&facts), [AlarmKind::InUseDestroyed]);
}

#[test]
fn what_was_destroyed_on_a_mount_is_told_by_its_own_name() {
    let (mut facts, other) = held();
    let key = key("r/m");
    facts.create(&mount(), &key);
    facts.pass();
    facts.destroy(&other, 7);
    facts.destroy(&key, 8);
    facts.later(10);
    facts.pass();
    facts.hold(&mount(), "file", HolderKind::OpenFile);
    let found = alarms(&facts);
    let told: Vec<_> = found
        .iter()
        .map(|alarm| (alarm.kind, &alarm.volume, &alarm.disk))
        .collect();
    assert_eq!(told, [(AlarmKind::InUseDestroyed, &key, &mount())]);
    assert_eq!(found[0].users[0].pids, [4711]);
    // The kernel holds a swap file, no process does.
    for holder in holders(&mut facts) {
        (holder.kind, holder.pid) = (HolderKind::Swap, 0);
    }
    assert!(alarms(&facts)[0].users[0].pids.is_empty());
}

#[test]
fn what_cannot_be_read_since_the_plan_was_made_is_no_destroy() {
    let (mut facts, key) = held();
    facts.destroy(&key, 7);
    facts.later(10);
    facts.hold(&path(), "volumes/roles/r/db", HolderKind::OpenFile);
    let made = plan(&facts);
    assert_eq!(listing::all(&facts, &made).alarms.known().unwrap().len(), 1);
    facts.checkpoint.info = CheckpointFile::Damaged(unknown::<()>().why().unwrap().clone());
    assert_eq!(listing::all(&facts, &made).alarms, Known::Known(Vec::new()));
}

#[test]
fn what_is_mounted_inside_a_volume_is_named() {
    let (mut facts, key) = held();
    let of = place(&facts, &path(), &key);
    let inside = Mounting {
        location: FsLocation {
            path: of.path.join("sub/dir"),
            ..of.clone()
        },
        inside: true,
        lies_on: None,
        views: vec![view(HOST, "/mnt/data/x/sub/dir", 1)],
        namespaces: 1,
    };
    // A neighbour of a similar name has nothing to do with it.
    let neighbour = Mounting {
        location: FsLocation {
            path: format!("{}-old/sub", of.path).as_str().into(),
            ..of
        },
        ..inside.clone()
    };
    add(&mut facts, neighbour);
    assert_eq!(kinds(&facts), []);
    add(&mut facts, inside);
    assert_eq!(kinds(&facts), [AlarmKind::MountedInside]);
}

#[test]
fn an_alarm_is_as_old_as_its_first_pass_in_lived_time_and_ends_when_it_is_over() {
    let (mut facts, key) = held();
    run(&mut facts, &path(), &key, OLD, 20);
    run(&mut facts, &path(), &key, NEW, 30);
    assert_eq!(alarms(&facts)[0].since, Some(facts.host.now.wall_seconds));
    facts.pass();
    let first = facts.host.now.wall_seconds;
    facts.later(600);
    // A clock that jumps ages nothing.
    facts.host.now.wall_seconds += 100_000;
    facts.pass();
    let alarm = &alarms(&facts)[0];
    assert_eq!(
        (alarm.since, alarm.seen_for.0.as_secs()),
        (Some(first), 600)
    );
    // What can't be seen is not over.
    let (mountings, holders) = (facts.mountings.clone(), facts.holders.clone());
    facts.mountings = unknown();
    facts.holders = unknown();
    assert!(listing::all(&facts, &plan(&facts)).alarms.why().is_some());
    facts.pass();
    facts.mountings = mountings;
    facts.holders = holders;
    assert_eq!(alarms(&facts)[0].since, Some(first));
    let both = facts.mountings.clone();
    facts.mountings = Known::Known(Vec::new());
    facts.pass();
    assert_eq!(alarms(&facts), []);
    assert!(facts.memory().alarms.is_empty());
    facts.later(60);
    facts.mountings = both;
    facts.pass();
    assert_eq!(alarms(&facts)[0].seen_for.0.as_secs(), 0);
}

#[test]
fn the_memory_of_alarms_is_bounded() {
    let mut facts = healthy();
    let keys: Vec<VolumeKey> = (0..600).map(|n| key(&format!("r/v{n}"))).collect();
    for key in &keys {
        facts.create(&path(), key);
        run(&mut facts, &path(), key, OLD, 20);
        run(&mut facts, &path(), key, NEW, 30);
    }
    facts.pass();
    assert_eq!(alarms(&facts).len(), 600);
    assert_eq!(facts.memory().alarms.len(), 512);
    facts.later(60);
    facts.pass();
    assert_eq!(facts.memory().alarms.len(), 512);
}

#[test]
fn facts_of_a_version_that_did_not_look_raise_nothing_and_say_so() {
    let mut json = serde_json::to_value(healthy()).unwrap();
    let object = json.as_object_mut().unwrap();
    assert!(object.remove("mountings").is_some() && object.remove("containers").is_some());
    let facts: Facts = serde_json::from_value(json).unwrap();
    let found = listing::all(&facts, &plan(&facts)).alarms;
    assert!(found.why().unwrap().to_string().contains("did not look"));
}
