//! The truth, and what must hold by it: judged at every call that takes something away, and after
//! every pass. Nothing here is taken from `decide`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use mesos_volumed::act::outcome::Outcome;
use mesos_volumed::daemon::pass::Pass;
use mesos_volumed::decide::facts::{Facts, Known, MountContent, OrphanPolicy};
use mesos_volumed::decide::manifest::TrashState;
use mesos_volumed::decide::plan::Plan;
use mesos_volumed::decide::steps::Kept;
use mesos_volumed::mesos::checkpoint::{Content, decode_info, decode_state};
use mesos_volumed::mesos::disk::{DiskRef, DiskType};
use mesos_volumed::mesos::ids::VolumeKey;
use mesos_volumed::mesos::paths;
use mesos_volumed::mesos::resource::Resource;
use mesos_volumed::mesos::state::OperationState;

use super::acts::{FOREIGN, disk_of};
use super::disk::{Disk, Node};
use super::world::{PLAIN, PREPARED, Spot, World, roots};

/// What is known besides the world.
#[derive(Clone, Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) state_dir: PathBuf,
    /// By any authority, when the program last looked.
    named: BTreeSet<VolumeKey>,
    /// Since when nobody but the older file has named a volume, beside an agent that answers and
    /// does not hold it.
    older: BTreeMap<VolumeKey, u64>,
    /// By any process, when the program last looked.
    used: BTreeSet<(usize, u64)>,
    /// An authority could not be read when the program last looked.
    damaged: bool,
    /// Paths that the last whole pass saw, and those that it said something of.
    saw: BTreeSet<String>,
    told: BTreeSet<String>,
    /// Lives whose data are to be seen in another's volume.
    exposed: BTreeSet<(usize, usize)>,
    /// Lives that a pass saw named, on their own disk.
    met: BTreeSet<usize>,
    /// Those of them whose own disk was mounted then.
    met_there: BTreeSet<usize>,
    /// The same as `met`, also of those that were forgotten since.
    ever_met: BTreeSet<usize>,
    /// MOUNT disks that a volume is on, when the program last looked.
    taken: BTreeSet<usize>,
    /// `volumes destroy` is at it: what it moves aside is named, and its life may go on.
    pub(crate) destroying: Option<VolumeKey>,
    /// Lives that it moved aside.
    aside: BTreeSet<usize>,
    pub(crate) orphans: Option<OrphanPolicy>,
    pub(crate) grace: u64,
    pub(crate) findings: Vec<String>,
    pub(crate) causes: BTreeMap<&'static str, u64>,
    /// Disks that others stand in for.
    pub(crate) shelf: BTreeMap<usize, Disk>,
    pub(crate) backups: BTreeMap<usize, Disk>,
}

impl Oracle {
    pub(crate) fn cause(&mut self, cause: &'static str) {
        *self.causes.entry(cause).or_default() += 1;
    }

    pub(crate) fn find(&mut self, what: String) {
        if self.findings.len() < 20 {
            self.findings.push(what);
        }
    }

    /// What is remembered.
    pub(crate) fn met(&self) -> [BTreeSet<usize>; 3] {
        let [met, there, ever] = [&self.met, &self.met_there, &self.ever_met];
        [met.clone(), there.clone(), ever.clone()]
    }

    /// What was seen since could not be written down.
    pub(crate) fn met_again(&mut self, [met, there, ever]: [BTreeSet<usize>; 3]) {
        self.met = met;
        self.met_there = there;
        self.ever_met = ever;
    }

    /// An operator says that the data of these may stay where it is.
    pub(crate) fn accept(&mut self, lives: &BTreeSet<usize>) {
        self.met.retain(|life| !lives.contains(life));
        self.met_there.retain(|life| !lives.contains(life));
    }

    /// What was remembered is lost.
    pub(crate) fn forget_met(&mut self) {
        self.met.clear();
        self.met_there.clear();
    }
}

const FILES: [&str; 4] = [
    paths::STATE,
    paths::STATE_TARGET,
    paths::INFO,
    paths::INFO_TARGET,
];

/// Whether a checkpoint file with this content can be read.
pub(crate) fn can_be_read(file: &str, bytes: &[u8]) -> bool {
    if file == paths::STATE || file == paths::STATE_TARGET {
        decode_state(bytes).is_ok()
    } else {
        decode_info(bytes).is_ok()
    }
}

impl World {
    /// Every volume that a file, the running agent or a task names now.
    pub(crate) fn named_now(&self) -> BTreeSet<VolumeKey> {
        self.named_by(&FILES)
    }

    /// The same without what nobody but the files of older agents names, where the newer one is whole:
    /// that is not what the next agent that starts believes.
    fn believed_now(&self) -> BTreeSet<VolumeKey> {
        let state = self.meta.get(paths::STATE).map(|bytes| decode_state(bytes));
        if matches!(state, Some(Ok(Content::Whole(_)))) {
            self.named_by(&[paths::STATE, paths::STATE_TARGET])
        } else {
            self.named_now()
        }
    }

    /// The same by these files, the running agent and tasks.
    fn named_by(&self, files: &[&'static str]) -> BTreeSet<VolumeKey> {
        let tasks = self.tasks.iter().map(|task| task.key.clone());
        let resources = self.resources_in(files);
        tasks
            .chain(resources.iter().filter_map(Resource::volume_key))
            .collect()
    }

    /// What these files and the running agent hold, or are changing.
    fn resources_in(&self, files: &[&'static str]) -> Vec<Resource> {
        let [mut all, changing] = self.held_and_changing(files);
        all.extend(changing);
        all
    }

    /// What these files and the running agent hold, and what operations that are not over speak of.
    fn held_and_changing(&self, files: &[&'static str]) -> [Vec<Resource>; 2] {
        let (mut held, mut changing) = (Vec::new(), Vec::new());
        for &file in files {
            let Some(bytes) = self.meta.get(file) else {
                continue;
            };
            if file == paths::STATE || file == paths::STATE_TARGET {
                if let Ok(Content::Whole(state)) = decode_state(bytes) {
                    held.extend(state.resources);
                    for operation in state.operations {
                        if operation.state == OperationState::Pending {
                            changing.extend(operation.volumes);
                        }
                    }
                }
            } else if let Ok(Content::Whole(resources)) = decode_info(bytes) {
                held.extend(resources);
            }
        }
        if self.agent.running {
            held.extend(self.agent.total.iter().cloned());
        }
        [held, changing]
    }

    /// The lives that are held where they are: a volume of that name on another disk tells nobody of
    /// them, and neither does an operation that may never have been carried out.
    fn lives_named(&self) -> BTreeSet<usize> {
        let all = roots();
        let [held, _] = self.held_and_changing(&FILES);
        volumes_in(&held)
            .iter()
            .filter_map(|(key, disk)| {
                let life = self.life_of(key)?;
                (*disk == all[self.lives[life].root]).then_some(life)
            })
            .collect()
    }

    /// The roots that volumes are named on.
    fn roots_named(&self) -> BTreeSet<usize> {
        let all = roots();
        volumes_in(&self.resources_in(&FILES))
            .iter()
            .filter_map(|(_, named)| all.iter().position(|root| root == named))
            .collect()
    }

    /// Whether a checkpoint file is damaged.
    pub(crate) fn unreadable(&self) -> bool {
        FILES.iter().any(|file| {
            self.meta
                .get(file)
                .is_some_and(|bytes| !can_be_read(file, bytes))
        })
    }

    /// Writes down which volumes are named now.
    pub(crate) fn note_named(&mut self) {
        let now = self.passed;
        for key in self.believed_now() {
            if let Some(life) = self.life_of(&key) {
                self.lives[life].named_at = now;
            }
        }
    }

    /// The program looks.
    pub(crate) fn looked_at(&mut self) {
        self.note_named();
        self.oracle.named = self.named_now();
        // Beside an agent that answers and does not hold it, such a name ends with the grace.
        let (now, grace) = (self.passed, self.oracle.grace);
        let answers = self.agent.running && !self.agent.recovering;
        let before = std::mem::take(&mut self.oracle.older);
        let believed = self.believed_now();
        let older: Vec<VolumeKey> = self.oracle.named.difference(&believed).cloned().collect();
        for key in older {
            let Some(since) = before.get(&key).copied().or(answers.then_some(now)) else {
                continue;
            };
            if answers && now.saturating_sub(since) >= grace {
                self.oracle.named.remove(&key);
            }
            self.oracle.older.insert(key, since);
        }
        // A checkpoint that was rolled back brings a volume to life again, where anybody sees it.
        for index in 0..self.lives.len() {
            let key = self.lives[index].key.clone();
            if self.agent.running && self.agent.holds(&key) && self.life_of(&key) == Some(index) {
                self.lives[index].destroyed = false;
            }
        }
        self.oracle.used = self
            .holds
            .iter()
            .map(|hold| (hold.disk, hold.ino))
            .collect();
        for mount in &self.mounts {
            if mount.point.is_empty() {
                self.oracle.used.insert(mount.on);
            }
        }
        self.oracle.damaged = self.unreadable();
        // A matter that was over is over: what a power cut brings back of a MOUNT later on, nobody
        // can tell from what an operator has laid there.
        let there: BTreeSet<usize> = self
            .disks
            .iter()
            .chain(self.oracle.shelf.values())
            .flat_map(|disk| disk.all().filter_map(|(_, inode)| inode.owner))
            .collect();
        self.oracle.met.retain(|life| there.contains(life));
        let met = self.lives_named();
        self.oracle.ever_met.extend(&met);
        for life in met {
            let disk = disk_of(self.lives[life].root);
            if self.oracle.shelf.contains_key(&disk) {
                // Another disk is in the place of theirs: which was meant, only who saw theirs can tell.
                if !self.oracle.met_there.contains(&life) {
                    self.oracle.met.remove(&life);
                }
                continue;
            }
            self.oracle.met.insert(life);
            if self.is_mounted(disk) {
                self.oracle.met_there.insert(life);
            }
        }
        self.oracle.taken = self.roots_named();
    }

    /// The program is about to remove an entry.
    pub(crate) fn judge_removal(&mut self, disk: usize, dir: u64, name: &[u8]) {
        let on = &self.disks[disk];
        let Ok(ino) = on.lookup(dir, name) else {
            return;
        };
        if on.inode(ino).map(|inode| &inode.node) == Some(&Node::File(FOREIGN.to_vec())) {
            self.oracle
                .find("what is not ours was removed from our trash".to_owned());
        }
        let Some(life) = on.inode(ino).and_then(|inode| inode.owner) else {
            return;
        };
        let path = String::from_utf8_lossy(&on.path(dir).unwrap_or_default()).into_owned();
        let in_trash = path.contains(".mesos-volumed/trash/");
        if !in_trash && disk != PLAIN {
            self.oracle.find(format!(
                "{path} of disk {disk} was removed from outside the trash"
            ));
        }
        self.judge(disk, ino, life, "removed", !in_trash);
        if disk == PLAIN && self.agent.running {
            self.oracle
                .find("a MOUNT disk was emptied while an agent ran".to_owned());
        }
    }

    /// The program is about to move an entry.
    pub(crate) fn judge_move(&mut self, disk: usize, from: u64, name: &[u8], to: u64) {
        let on = &self.disks[disk];
        let Ok(ino) = on.lookup(from, name) else {
            return;
        };
        let path = |ino| String::from_utf8_lossy(&on.path(ino).unwrap_or_default()).into_owned();
        let (from_path, to_path) = (path(from), path(to));
        let trash = ".mesos-volumed/trash/";
        if from_path.contains(trash) || !to_path.contains(trash) {
            return;
        }
        let owners: BTreeSet<usize> = on
            .below(ino)
            .into_iter()
            .filter_map(|inner| on.inode(inner)?.owner)
            .collect();
        for life in owners {
            let told = &self.lives[life];
            let wanted = self.oracle.destroying.as_ref() == Some(&told.key);
            // It is asked for, and nobody else may use it: `judge` sees to that.
            if wanted && !told.destroyed {
                self.oracle.aside.insert(life);
            }
            self.judge(disk, ino, life, "moved aside", true);
        }
        if disk == PREPARED && self.agent.running {
            self.oracle
                .find("a prepared MOUNT was emptied while an agent ran".to_owned());
        }
    }

    fn judge(&mut self, disk: usize, ino: u64, life: usize, what: &str, first: bool) {
        let Some(told) = self.lives.get(life).cloned() else {
            return;
        };
        let on = &self.disks[disk];
        let subject = format!(
            "life {life} of {} at {} was {what}",
            told.key,
            String::from_utf8_lossy(&on.path(ino).unwrap_or_default())
        );
        let mut why = Vec::new();
        // The operator's word over a MOUNT is over all that lies on it, whatever is named elsewhere.
        let on_mount = disk == PLAIN || disk == PREPARED;
        let by_word = told.condemned && on_mount;
        let asked = first && self.oracle.destroying.as_ref() == Some(&told.key);
        let by_word = by_word || asked;
        // It came to a MOUNT, went, and was created on another disk, all between two looks: what lies there
        // still is not told from what the volume left that was destroyed there before.
        let elsewhere = on_mount
            && told.destroyed
            && self.life_of(&told.key) != Some(life)
            && !self.oracle.ever_met.contains(&life)
            && !self.oracle.taken.contains(&told.root);
        if self.oracle.named.contains(&told.key) && !by_word && !elsewhere {
            why.push(format!("{subject} although an authority names it"));
        }
        let around = on.above(ino);
        let within = on.below(ino);
        let is_used = |inode: &u64| self.oracle.used.contains(&(disk, *inode));
        if around.iter().any(is_used) || within.iter().any(is_used) {
            why.push(format!("{subject} although a process uses it"));
        }
        if self.oracle.damaged {
            why.push(format!("{subject} although an authority can't be read"));
        }
        // What was destroyed and not yet removed came to life again, or on a MOUNT another volume came in its
        // place, and lost its name, by a checkpoint that was lost, between two looks.
        let unseen = !self.oracle.ever_met.contains(&life)
            && self.lives[..life].iter().any(|earlier| {
                earlier.destroyed
                    && (earlier.key == told.key || on_mount && earlier.root == told.root)
            });
        if first && !told.destroyed && !told.condemned && !asked && !unseen {
            if self.oracle.orphans == Some(OrphanPolicy::Report) {
                why.push(format!("{subject} although orphans are only reported"));
            }
            if self.passed.saturating_sub(told.named_at) < self.oracle.grace {
                why.push(format!(
                    "{subject} within its grace, and nobody destroyed it"
                ));
            }
            if roots()[told.root].kind == DiskType::Mount && on_mount {
                why.push(format!("{subject} on a MOUNT, and nobody destroyed it"));
            }
        }
        for finding in why {
            self.oracle.find(finding);
        }
    }

    /// Data of other lives in a directory become visible to this one.
    pub(crate) fn exposed(&mut self, spot: Spot, life: usize, path: &str, how: &str) {
        for other in self.owners_in(spot) {
            if other == life || !self.oracle.exposed.insert((life, other)) {
                continue;
            }
            if self.oracle.saw.contains(path) && !self.oracle.told.contains(path) {
                self.oracle.find(format!(
                    "{how} at {path}, and no pass had said a word of it"
                ));
            }
        }
    }

    /// A plan says what it must say.
    fn judge_plan(&mut self, facts: &Facts, plan: &Plan, told: &BTreeSet<String>) {
        for kept in &plan.kept {
            if kept.reasons.is_empty()
                || kept
                    .reasons
                    .iter()
                    .any(|reason| reason.code.reason().is_empty())
            {
                self.oracle
                    .find(format!("{} is kept without a reason", kept.path));
            }
        }
        for root in &facts.roots {
            for dir in root.dirs.known().into_iter().flatten() {
                let path = dir.path(&root.disk).to_string();
                if !told.contains(&path) {
                    self.oracle.find(format!("no word of {path}"));
                }
            }
            for entry in root.trash.known().into_iter().flatten() {
                if !told.iter().any(|path| path.contains(&entry.id.0))
                    && entry.data != Known::Absent
                {
                    self.oracle
                        .find(format!("no word of the trash entry {}", entry.id));
                }
            }
            if root.disk.kind == DiskType::Mount
                && root.content == Known::Known(MountContent::Data)
                && let Ok(spot) = self.resolve(root.disk.root.as_bytes())
            {
                // What another tenant has taken over can't be told apart any more.
                let taken = self
                    .oracle
                    .taken
                    .iter()
                    .any(|number| roots()[*number] == root.disk);
                let owed = !taken
                    && self.owners_in(spot).into_iter().any(|life| {
                        self.lives[life].destroyed
                            && self.oracle.met.contains(&life)
                        // Created again elsewhere between two looks: nobody saw it go.
                        && self.life_of(&self.lives[life].key) == Some(life)
                            && !self.oracle.named.contains(&self.lives[life].key)
                    });
                // While an authority is in doubt, the doubt is what is told.
                if owed
                    && plan.doubts.is_empty()
                    && !told
                        .iter()
                        .any(|path| path.contains(&root.disk.root.to_string()))
                {
                    self.oracle.find(format!(
                        "no word of what was destroyed on {}",
                        root.disk.root
                    ));
                }
            }
        }
    }

    /// After a pass that came to its end.
    pub(crate) fn after_pass(&mut self, pass: &Pass, whole: bool) {
        let mut told: BTreeSet<String> = pass
            .last
            .kept
            .iter()
            .map(|kept| kept.path.to_string())
            .collect();
        told.extend(
            pass.last
                .kept
                .iter()
                .filter_map(|kept| kept.trash.as_ref())
                .map(|(id, _)| id.0.clone()),
        );
        for step in &pass.outcomes {
            told.insert(step.subject.clone());
            if let Outcome::Done(receipt) = &step.outcome {
                told.insert(receipt.path.to_string());
            }
        }
        // What a step is about is said by the step.
        let of_steps = serde_json::to_string(&pass.last.steps).unwrap_or_default();
        let mut all = told.clone();
        for root in &pass.facts.roots {
            for dir in root.dirs.known().into_iter().flatten() {
                let path = dir.path(&root.disk);
                let handle = dir.identity.known().map(|identity| identity.handle.clone());
                if handle.is_some_and(|handle| of_steps.contains(&handle)) {
                    all.insert(path.to_string());
                }
            }
            for entry in root.trash.known().into_iter().flatten() {
                if of_steps.contains(&entry.id.0) {
                    all.insert(entry.id.0.clone());
                }
            }
        }
        if !whole {
            // An operator's word is about what it names.
            self.see_exposed(true);
            return;
        }
        self.judge_plan(&pass.facts, &pass.last, &all);
        self.oracle.saw = pass
            .facts
            .roots
            .iter()
            .flat_map(|root| {
                root.dirs
                    .known()
                    .into_iter()
                    .flatten()
                    .map(|dir| dir.path(&root.disk).to_string())
            })
            .collect();
        self.oracle.told = all;
        self.see_exposed(true);
    }

    /// What a tenant can see now that it could not before: by a pass, or by what went before it.
    pub(crate) fn see_exposed(&mut self, by_pass: bool) {
        let held: Vec<VolumeKey> = if self.agent.running {
            self.agent
                .total
                .iter()
                .filter_map(Resource::volume_key)
                .collect()
        } else {
            Vec::new()
        };
        for key in held {
            let Some(life) = self.life_of(&key) else {
                continue;
            };
            let root = self.lives[life].root;
            if let Some(spot) = self.volume_spot(root, &key) {
                for other in self.owners_in(spot) {
                    // Set aside by `volumes destroy`, which was killed before it heard what became of it; if
                    // it was created anew while its disk was away, nobody can tell, and the name is held.
                    let aside = self.oracle.aside.contains(&other) && self.lives[other].key == key;
                    if other != life
                        && self.oracle.exposed.insert((life, other))
                        && by_pass
                        && !aside
                    {
                        self.oracle.find(format!(
                            "data of life {other} came to be seen in {key} of life {life}"
                        ));
                    }
                }
            }
        }
    }

    /// The checkpoint as the agent had it in memory, written anew.
    pub(crate) fn mend_checkpoint(&mut self) {
        self.meta.clear();
        self.agent.operations.clear();
        let new = self.agent.total.clone();
        self.agent.running = true;
        self.sync_checkpoint(new, None, usize::MAX, true);
        self.agent_dies();
        // Nobody puts another checkpoint below an agent that runs.
        self.agent_start();
    }

    /// After the world was calm for long: what must be gone, and what must be there.
    pub(crate) fn judge_end(&mut self, last: &Plan) {
        let named = self.named_now();
        let kept: BTreeMap<String, String> = last
            .kept
            .iter()
            .map(|kept| (kept.path.to_string(), codes(kept)))
            .collect();
        // What `volumes destroy` moved aside, and was not destroyed after all, is back in its place.
        for life in self.oracle.aside.clone() {
            let told = self.lives[life].clone();
            let held = named.contains(&told.key) && self.life_of(&told.key) == Some(life);
            if told.destroyed || told.condemned || !held {
                continue;
            }
            for disk in &self.disks {
                for (ino, inode) in disk.all() {
                    let path = disk.path(ino).unwrap_or_default();
                    let path = String::from_utf8_lossy(&path);
                    if inode.owner == Some(life) && path.contains(".mesos-volumed/trash/") {
                        self.oracle.find(format!(
                            "{} is held, and its data is still aside at {path} when all is calm; kept: {kept:?}",
                            told.key
                        ));
                    }
                }
            }
        }
        let tenants = self.roots_named();
        let mut owed = BTreeMap::<usize, Vec<String>>::new();
        for disk in 1..self.disks.len() {
            let on = &self.disks[disk];
            for (ino, inode) in on.all() {
                let Some(life) = inode.owner else { continue };
                let told = &self.lives[life];
                let taken =
                    roots()[told.root].kind == DiskType::Mount && tenants.contains(&told.root);
                if told.destroyed && !taken && !named.contains(&told.key) {
                    let path = on.path(ino).unwrap_or_default();
                    owed.entry(life)
                        .or_default()
                        .push(String::from_utf8_lossy(&path).into_owned());
                }
            }
        }
        for (life, files) in owed {
            let told = &roots()[self.lives[life].root];
            if told.kind == DiskType::Mount && kept.contains_key(&told.root.to_string()) {
                // It went without a witness, and waits for the operator's word.
                continue;
            }
            let came_again = self.life_of(&self.lives[life].key) != Some(life);
            if (came_again || !self.oracle.met.contains(&life))
                && roots()[self.lives[life].root].kind == DiskType::Mount
            {
                // Nobody can know of a MOUNT's volume that came and went between two looks.
                continue;
            }
            let text = format!(
                "what was destroyed is still there when all is calm: life {life} of {}: {files:?}; kept: {kept:?}",
                self.lives[life].key
            );
            self.oracle.find(text);
        }
    }
}

/// Volumes, and the disks that they are on.
fn volumes_in(resources: &[Resource]) -> Vec<(VolumeKey, DiskRef)> {
    let work_dir = &roots()[0].root;
    resources
        .iter()
        .filter_map(|resource| Some((resource.volume_key()?, resource.disk(work_dir)?)))
        .collect()
}

/// Why it is kept, in codes.
pub(crate) fn codes(kept: &Kept) -> String {
    let codes: Vec<&str> = kept
        .reasons
        .iter()
        .map(|reason| reason.code.code())
        .collect();
    codes.join(" ")
}

/// What is on the disks, without names that differ from run to run.
pub(crate) fn picture(world: &World) -> BTreeMap<String, u64> {
    let mut picture = BTreeMap::new();
    for (number, disk) in world.disks.iter().enumerate() {
        for (ino, inode) in disk.all() {
            let Some(path) = disk.path(ino) else { continue };
            let path = String::from_utf8_lossy(&path).into_owned();
            if path.as_bytes().ends_with(b".new") {
                // Half a file that a killed process left: the next one takes its place.
                continue;
            }
            let mut text = String::new();
            let mut parts = path.split('/').peekable();
            while let Some(part) = parts.next() {
                text.push_str(part);
                text.push('/');
                if matches!(part, "trash" | "adopted") && parts.peek().is_some() {
                    parts.next();
                    text.push_str("*/");
                }
            }
            let state = match &inode.node {
                super::disk::Node::File(content) if path.ends_with("/manifest.json") => {
                    serde_json::from_slice::<mesos_volumed::decide::manifest::Manifest>(content)
                        .map_or("damaged", |manifest| match manifest.state {
                            TrashState::Prepared | TrashState::Moved => "moved",
                            TrashState::Cleared => "cleared",
                            TrashState::Wiping => "wiping",
                        })
                }
                _ => "",
            };
            *picture.entry(format!("{number}{text}{state}")).or_default() += 1;
        }
    }
    picture
}
