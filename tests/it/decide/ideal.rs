//! What a plan's steps make of the facts when every one of them succeeds.

use mesos_volumed::decide::facts::{
    AgentAnswer, CheckpointFile, DirFacts, Facts, FileIdentity, FileKind, FsLocation, Known,
    MountContent, RootFacts, TrashFacts,
};
use mesos_volumed::decide::manifest::{AdoptedMark, HIDDEN_TRASH, Manifest, TRASH, TrashState};
use mesos_volumed::decide::plan::Plan;
use mesos_volumed::decide::steps::{Barrier, Step, TrashId, TrashPlace};
use mesos_volumed::mesos::disk::{DiskRef, DiskType};
use mesos_volumed::mesos::operator::Change;
use mesos_volumed::mesos::resource::Resource;
use mesos_volumed::units::Raw;

fn root<'a>(facts: &'a mut Facts, disk: &DiskRef) -> &'a mut RootFacts {
    facts
        .roots
        .iter_mut()
        .find(|root| root.disk == *disk)
        .unwrap()
}

fn entries(root: &mut RootFacts) -> &mut Vec<TrashFacts> {
    if !matches!(root.trash, Known::Known(_)) {
        root.trash = Known::Known(Vec::new());
    }
    match &mut root.trash {
        Known::Known(entries) => entries,
        Known::Absent | Known::Unknown(_) => unreachable!(),
    }
}

fn dirs(root: &mut RootFacts) -> &mut Vec<DirFacts> {
    if !matches!(root.dirs, Known::Known(_)) {
        root.dirs = Known::Known(Vec::new());
    }
    match &mut root.dirs {
        Known::Known(dirs) => dirs,
        Known::Absent | Known::Unknown(_) => unreachable!(),
    }
}

fn place(root: &RootFacts, below: &Raw) -> Known<FsLocation> {
    root.mount.clone().map(|mount| FsLocation {
        device: mount.location.device,
        path: mount.location.path.join(below),
    })
}

/// Whether two roots are the same directory, so that a change under one shows under the other.
fn same(a: &RootFacts, b: &RootFacts) -> bool {
    a.mount.known().map(|mount| &mount.location) == b.mount.known().map(|mount| &mount.location)
}

fn remove_entry(facts: &mut Facts, disk: &DiskRef, id: &TrashId) {
    let at = root(facts, disk).clone();
    for other in &mut facts.roots {
        if same(&at, other) && matches!(other.trash, Known::Known(_)) {
            entries(other).retain(|entry| entry.id != *id);
        }
    }
}

/// The facts after the steps, and with the memory, of this plan. No time passes.
pub(crate) fn apply(plan: &Plan, facts: &Facts) -> Facts {
    let mut after = facts.clone();
    if !plan.memory_unknown {
        after.memory = Known::Known(plan.memory.clone());
    }
    after.host.nonce = after.host.nonce.wrapping_add(1);
    for step in &plan.steps {
        apply_step(step, &mut after);
    }
    after
}

/// The entry is whole in the trash of the hidden side.
fn moved_out(root: &mut RootFacts, entry: &TrashPlace) {
    let mut manifest = entry.manifest.clone();
    if entry.data.is_none() {
        manifest.identity.handle.push('d');
    }
    manifest.state = TrashState::Moved;
    let identity = manifest.identity.clone();
    let location = root.mount.clone().map(|mount| FsLocation {
        device: mount.device,
        path: Raw::from("/")
            .join(HIDDEN_TRASH)
            .join(&manifest.id.0)
            .join("data"),
    });
    entries(root).retain(|found| found.id != manifest.id);
    entries(root).push(TrashFacts {
        id: manifest.id.clone(),
        manifest: Known::Known(manifest),
        data: Known::Known(identity),
        location,
        bare: false,
    });
}

/// An entry's manifest is written anew, on every root that shows it.
fn rewritten(after: &mut Facts, entry: &TrashPlace, change: impl Fn(&mut Manifest)) {
    let here = root(after, &entry.disk).clone();
    for root in after.roots.iter_mut().filter(|root| same(&here, root)) {
        for found in entries(root) {
            if let Known::Known(manifest) = &mut found.manifest
                && manifest.id == entry.manifest.id
            {
                change(manifest);
            }
        }
    }
}

fn marked(after: &mut Facts, disk: &DiskRef, mark: &AdoptedMark) {
    let here = root(after, disk).clone();
    for root in after.roots.iter_mut().filter(|root| same(&here, root)) {
        let mut marks = root.adopted.known().cloned().unwrap_or_default();
        if !marks.contains(mark) {
            marks.push(mark.clone());
        }
        root.adopted = Known::Known(marks);
    }
}

fn apply_step(step: &Step, after: &mut Facts) {
    match step {
        Step::AdoptRoot {
            disk,
            root: print,
            verified,
            marker,
        } => {
            let root = root(after, disk);
            root.filesystem.ledger = Known::Known(print.clone());
            root.filesystem.verified = Some(verified.clone());
            let volumes = matches!(root.dirs, Known::Known(_))
                || matches!(root.trash, Known::Known(_))
                || !matches!(root.filesystem.marker, Known::Absent);
            if disk.kind != DiskType::Mount && volumes {
                root.filesystem.marker = Known::Known(print.filesystem.clone());
                root.filesystem.marker_of.clone_from(marker);
            }
        }
        Step::Quarantine {
            place: at,
            identity,
            manifest,
        } => {
            let here = root(after, &at.disk).clone();
            for root in after.roots.iter_mut().filter(|root| same(&here, root)) {
                dirs(root).retain(|dir| dir.identity.known() != Some(identity));
                let mut manifest = manifest.as_ref().clone();
                manifest.state = TrashState::Moved;
                let below = Raw::from(TRASH).join(&manifest.id.0).join("data");
                let location = place(root, &below);
                entries(root).push(TrashFacts {
                    id: manifest.id.clone(),
                    manifest: Known::Known(manifest),
                    data: Known::Known(identity.clone()),
                    location,
                    bare: false,
                });
            }
        }
        Step::Clear { entry } => {
            rewritten(after, entry, |manifest| {
                manifest.state = TrashState::Cleared;
            });
        }
        Step::Restore { entry, mark } => {
            let put_back = Step::PutBack {
                entry: entry.clone(),
            };
            marked(after, &entry.disk, mark);
            apply_step(&put_back, after);
        }
        Step::Adopt { at, mark } => marked(after, &at.disk, mark),
        Step::Unadopt { at, mark, .. } => {
            let here = root(after, &at.disk).clone();
            for root in after.roots.iter_mut().filter(|root| same(&here, root)) {
                if let Known::Known(marks) = &mut root.adopted {
                    marks.retain(|found| found != mark.as_ref());
                }
            }
        }
        Step::Tidy { at, id } => remove_entry(after, &at.disk, id),
        Step::Confirm { entry, lived_at } => {
            rewritten(after, entry, |manifest| {
                manifest.state = TrashState::Cleared;
                manifest.unconfirmed = false;
                manifest.asked = None;
                manifest.lived_at = *lived_at;
            });
        }
        Step::Call { entry, asked, .. } => {
            if let Some(entry) = entry {
                rewritten(after, entry, |manifest| {
                    manifest.state = TrashState::Moved;
                    manifest.asked = Some(asked.clone());
                });
            }
        }
        Step::PutBack { entry } if entry.hidden.is_some() => {
            root(after, &entry.disk).content = Known::Known(MountContent::Data);
            remove_entry(after, &entry.disk, &entry.manifest.id);
        }
        Step::PutBack { entry } => {
            let here = root(after, &entry.disk).clone();
            let volume = &entry.manifest.volume;
            for root in after.roots.iter_mut().filter(|root| same(&here, root)) {
                let location = place(root, &entry.manifest.path);
                dirs(root).push(DirFacts {
                    role_dir: volume.role.directory(),
                    id_dir: volume.id.as_raw().clone(),
                    kind: FileKind::Directory,
                    identity: Known::Known(entry.manifest.identity.clone()),
                    location,
                });
            }
            remove_entry(after, &entry.disk, &entry.manifest.id);
        }
        Step::Void { entry } | Step::Wipe { entry, .. } => {
            remove_entry(after, &entry.disk, &entry.manifest.id);
        }
        Step::EmptyMount {
            authorization,
            barrier,
            ..
        }
        | Step::MoveOut {
            authorization,
            barrier,
            ..
        } => {
            let disk = authorization.disk();
            if let Step::MoveOut { entry, .. } = step {
                moved_out(root(after, disk), entry);
            }
            root(after, disk).content = Known::Known(MountContent::Empty);
            after.gate.fills.retain(|fill| fill.root != disk.root);
            if *barrier == Barrier::Reservation {
                return;
            }
            after.gate.closed_for = match &after.gate.closed_for {
                Known::Known(roots) => {
                    let mut roots = roots.clone();
                    roots.push(disk.root.clone());
                    Known::Known(roots)
                }
                Known::Absent | Known::Unknown(_) => Known::Known(vec![disk.root.clone()]),
            };
        }
        Step::OpenGate => {
            after.gate.closed_for = Known::Absent;
            after.gate.fills.clear();
        }
        Step::Bar { call, disk, .. } => barred(after, &call.change, disk),
        Step::Create { place: at } => {
            let here = root(after, &at.disk).clone();
            for root in after.roots.iter_mut().filter(|root| same(&here, root)) {
                let below = Raw::from(mesos_volumed::mesos::paths::ROLES)
                    .join(&at.role_dir)
                    .join(&at.id_dir);
                let location = place(root, &below);
                let made = FileIdentity {
                    filesystem: at.root.filesystem.clone(),
                    handle: format!("1:made {below}"),
                };
                dirs(root).push(DirFacts {
                    role_dir: at.role_dir.clone(),
                    id_dir: at.id_dir.clone(),
                    kind: FileKind::Directory,
                    identity: Known::Known(made),
                    location,
                });
            }
        }
    }
}

/// A call for the barrier arrives: master, agent and checkpoint have the disk as it says.
pub(crate) fn barred(after: &mut Facts, change: &Change, disk: &DiskRef) {
    let wanted = match change {
        Change::Reserve(all) => all.clone(),
        Change::Unreserve(_) => Vec::new(),
        other => panic!("{other} is no call for a barrier"),
    };
    let before: Vec<Resource> = match change {
        Change::Reserve(_) => Vec::new(),
        _ => vec![
            mesos_volumed::mesos::operator::unreserved(change_resources(change).first().unwrap())
                .unwrap(),
        ],
    };
    let work_dir = after.agent.work_dir.clone();
    let set = |resources: &mut Vec<Resource>, more: &[Resource]| {
        resources.retain(|one| one.disk(&work_dir).as_ref() != Some(disk));
        resources.extend_from_slice(more);
    };
    if let CheckpointFile::Whole(state) = &mut after.checkpoint.state {
        set(&mut state.resources, &wanted);
    }
    if let CheckpointFile::Whole(resources) = &mut after.checkpoint.info {
        set(resources, &wanted);
    }
    let all = [wanted, before].concat();
    if let AgentAnswer::State(state) = &mut after.answer {
        set(&mut state.resources, &all);
        state
            .roles
            .extend(all.iter().filter_map(Resource::role).cloned());
    }
    if let Known::Known(master) = &mut after.master
        && let Known::Known(agent) = &mut master.agent
    {
        set(&mut agent.resources, &all);
    }
}

fn change_resources(change: &Change) -> &[Resource] {
    match change {
        Change::Reserve(all) | Change::Unreserve(all) => all,
        other => panic!("{other} is no call for a barrier"),
    }
}
