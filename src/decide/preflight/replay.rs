//! The agent's checkpoint at its start: which files it believes, the resources it had not yet
//! committed, and the operations that it had not finished (src/slave/state.cpp, src/slave/slave.cpp).

use std::collections::BTreeMap;

use super::disks::text;
use super::{Check, Deletion, Verdict, fit, meta_path};
use crate::decide::facts::{
    CheckpointFacts, CheckpointFile, Known, MakeOutcome, Operation, OperationKind, OperationState,
    ResourceState, StartFacts, TouchedVolume,
};
use crate::mesos::paths;
use crate::mesos::resources::{Entry, Place, Resources};
use crate::units::Raw;

/// What an agent takes from its files.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Believed {
    /// Committed; nothing where a file is missing, empty, or damaged and let pass (`--strict=false`).
    pub(super) committed: Resources,
    /// To be committed.
    pub(super) target: Option<Resources>,
    /// Operations, only used where the agent id is kept.
    pub(super) operations: Vec<Operation>,
}

/// What a step at the start did, beside going on.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) deletes: Vec<Deletion>,
    pub(super) doubts: Vec<String>,
    pub(super) warnings: Vec<String>,
    /// What stands in the way of a DESTROY, as sentences with their remedies.
    pub(super) obstacles: Vec<String>,
}

/// A refusal of the checks here.
pub(super) fn refusal(check: Check, text: String, once: bool) -> Verdict {
    Verdict::Refuses { check, text, once }
}

/// The agent's words for what happens in its recovery.
pub(super) fn in_recovery(words: &str) -> String {
    format!("Failed to perform recovery: {words}")
}

/// Reads the files as the agent does: `.state` where it exists, and its target; otherwise
/// `resources.info`, and its target.
pub(super) fn believe(
    facts: &StartFacts,
    strict: bool,
    effects: &mut Effects,
) -> Result<Believed, Verdict> {
    let files = &facts.checkpoint;
    let of_state = |state: &ResourceState| state.resources.iter().collect::<Resources>();
    let read = Reader {
        facts,
        strict,
        what: "resource and operations",
    };
    match &files.state {
        CheckpointFile::Missing => {}
        CheckpointFile::Damaged(_) => {
            return read.damaged(paths::STATE, effects);
        }
        CheckpointFile::Empty => {
            effects.warnings.push(format!(
                "{} has 0 bytes: the agent takes that for no reservations and no volumes, and \
                 every volume becomes an orphan",
                meta_path(facts, paths::STATE)
            ));
            return with_target(
                facts,
                strict,
                Resources::default(),
                &files.state_target,
                Vec::new(),
                effects,
            );
        }
        CheckpointFile::Whole(state) => {
            return with_target(
                facts,
                strict,
                of_state(state),
                &files.state_target,
                state.operations.clone(),
                effects,
            );
        }
    }
    let read = Reader {
        what: "resources",
        ..read
    };
    let committed = match &files.info {
        // Without any committed file targets do not count.
        CheckpointFile::Missing => {
            return Ok(Believed {
                committed: Resources::default(),
                target: None,
                operations: operations_of_target(files),
            });
        }
        CheckpointFile::Empty => Resources::default(),
        CheckpointFile::Whole(resources) => resources.iter().collect(),
        CheckpointFile::Damaged(_) => return read.damaged(paths::INFO, effects),
    };
    let target = match &files.info_target {
        CheckpointFile::Missing => None,
        CheckpointFile::Empty => Some(Resources::default()),
        CheckpointFile::Whole(resources) => Some(resources.iter().collect()),
        CheckpointFile::Damaged(_) => return read.damaged(paths::INFO_TARGET, effects),
    };
    Ok(Believed {
        committed,
        target,
        operations: operations_of_target(files),
    })
}

fn operations_of_target(files: &CheckpointFacts) -> Vec<Operation> {
    files
        .state_target
        .whole()
        .map_or_else(Vec::new, |target| target.operations.clone())
}

fn with_target(
    facts: &StartFacts,
    strict: bool,
    committed: Resources,
    target: &CheckpointFile<ResourceState>,
    operations: Vec<Operation>,
    effects: &mut Effects,
) -> Result<Believed, Verdict> {
    let read = Reader {
        facts,
        strict,
        what: "resources and operations target",
    };
    let (target, operations) = match target {
        CheckpointFile::Missing => (None, operations),
        // There, and nothing in it: it is neither replayed nor removed.
        CheckpointFile::Empty => (None, Vec::new()),
        CheckpointFile::Whole(target) => (
            Some(target.resources.iter().collect()),
            target.operations.clone(),
        ),
        CheckpointFile::Damaged(_) => return read.damaged(paths::STATE_TARGET, effects),
    };
    Ok(Believed {
        committed,
        target,
        operations,
    })
}

struct Reader<'a> {
    facts: &'a StartFacts,
    strict: bool,
    what: &'static str,
}

impl Reader<'_> {
    /// A file that we can't trust; whether the agent reads it is known only where its words are.
    fn damaged(&self, file: &str, effects: &mut Effects) -> Result<Believed, Verdict> {
        let path = meta_path(self.facts, file);
        let Some(words) = self.facts.unreadable.get(file) else {
            effects.doubts.push(format!(
                "what the agent makes of {path}, which can't be understood"
            ));
            return Ok(Believed::default());
        };
        let words = format!(
            "Failed to read {} file '{}': {words}",
            self.what,
            text(&path)
        );
        if self.strict {
            return Err(refusal(Check::Checkpoint, in_recovery(&words), false));
        }
        effects.warnings.push(format!(
            "{words}; with --strict=false the agent starts all the same, without any reservation \
             or volume, and overwrites the file"
        ));
        Ok(Believed::default())
    }
}

/// What the kernel says of a file that is not there.
const MISSING: &str = "No such file or directory";

/// Commits what was not committed. Gives what is then checkpointed.
pub(super) fn commit(
    facts: &StartFacts,
    committed: &Resources,
    target: &Resources,
    effects: &mut Effects,
) -> Result<Resources, Verdict> {
    if let Err(words) = sync(facts, committed, target, effects) {
        let words = format!(
            "Target checkpointed resources {target} failed to sync from current checkpointed \
             resources {committed}: {words}"
        );
        return Err(refusal(Check::Replay, in_recovery(&words), false));
    }
    let files = &facts.checkpoint;
    if files.state_target == CheckpointFile::Missing {
        let words = format!(
            "Failed to rename target resources {target} and associated operations: {MISSING}"
        );
        effects.obstacles.push(format!(
            "move {} away by hand: agents since 1.9 never do it themselves, and every start fails \
             until it is gone",
            meta_path(facts, paths::INFO_TARGET)
        ));
        return Err(refusal(Check::Replay, in_recovery(&words), false));
    }
    if files.info_target == CheckpointFile::Missing {
        let words = format!("Failed to rename target resources {target}: {MISSING}");
        return Err(refusal(Check::Replay, in_recovery(&words), true));
    }
    Ok(target.clone())
}

/// The files as the start after a failed [`commit`] finds them.
pub(super) fn after_failed_commit(facts: &StartFacts) -> StartFacts {
    let mut facts = facts.clone();
    let files = &mut facts.checkpoint;
    files.state = std::mem::replace(&mut files.state_target, CheckpointFile::Missing);
    facts
}

/// Finishes operations that were pending, as an agent does that keeps its id.
pub(super) fn finish(
    facts: &StartFacts,
    total: &Resources,
    checkpointed: &Resources,
    operations: &[Operation],
    effects: &mut Effects,
) -> Result<(), Verdict> {
    let mut total = total.clone();
    let mut checkpointed = checkpointed.clone();
    for operation in operations {
        if operation.state != OperationState::Pending {
            continue;
        }
        for volume in operation.volumes.iter().map(Entry::from) {
            let (consumed, converted) = match operation.kind {
                OperationKind::Create => (volume.without_volume(), volume),
                OperationKind::Destroy => {
                    let left = volume.without_volume();
                    (volume, left)
                }
                OperationKind::Resize | OperationKind::Other(_) => continue,
            };
            if !total.contains(&consumed) {
                effects.doubts.push(format!(
                    "what the agent does with the pending operation {}, which does not fit what \
                     it holds",
                    operation.uuid
                ));
                continue;
            }
            total.subtract(&consumed);
            total.add(&converted);
        }
        let now: Resources = total
            .entries()
            .iter()
            .filter(|entry| entry.is_checkpointed())
            .cloned()
            .collect();
        if let Err(words) = sync(facts, &checkpointed, &now, effects) {
            let text = format!("Failed to sync checkpointed resources: {words}");
            return Err(refusal(Check::Operations, text, false));
        }
        checkpointed = now;
    }
    Ok(())
}

fn volumes_by_path(facts: &StartFacts, resources: &Resources) -> BTreeMap<Raw, Entry> {
    resources
        .entries()
        .iter()
        .filter_map(|entry| Some((entry.volume_path(&facts.work_dir)?, entry.clone())))
        .collect()
}

/// Makes the directories of new volumes and deletes those that are gone; the agent's words where
/// it can't. Several are done in no order of Mesos's; here in that of their paths.
fn sync(
    facts: &StartFacts,
    before: &Resources,
    after: &Resources,
    effects: &mut Effects,
) -> Result<(), String> {
    let old = volumes_by_path(facts, before);
    let new = volumes_by_path(facts, after);
    for (path, volume) in new.iter().filter(|(path, _)| !old.contains_key(*path)) {
        make(facts, path, volume, effects)?;
    }
    for (path, volume) in old.iter().filter(|(path, _)| !new.contains_key(*path)) {
        delete(facts, path, volume, effects)?;
    }
    Ok(())
}

fn id(volume: &Entry) -> String {
    volume
        .volume_key()
        .map_or_else(String::new, |key| text(key.id.as_raw()))
}

fn make(
    facts: &StartFacts,
    path: &Raw,
    volume: &Entry,
    effects: &mut Effects,
) -> Result<(), String> {
    let Some(look) = facts.volumes.get(path) else {
        effects.doubts.push(format!("whether {path} can be made"));
        return Ok(());
    };
    match (&look.exists, &look.make) {
        (Known::Known(true), _) | (_, MakeOutcome::There | MakeOutcome::Made) => Ok(()),
        (_, MakeOutcome::Fails(words)) => Err(format!(
            "Failed to create the persistent volume {} at '{}': {words}",
            id(volume),
            text(path)
        )),
        (_, MakeOutcome::Unknown(why)) => {
            effects
                .doubts
                .push(format!("whether {path} can be made: {why}"));
            Ok(())
        }
    }
}

fn delete(
    facts: &StartFacts,
    path: &Raw,
    volume: &Entry,
    effects: &mut Effects,
) -> Result<(), String> {
    let Some(look) = facts.volumes.get(path) else {
        effects
            .doubts
            .push(format!("whether {path} can be deleted"));
        return Ok(());
    };
    match &look.exists {
        Known::Known(true) => {}
        // Taken for done.
        Known::Known(false) | Known::Absent => return Ok(()),
        Known::Unknown(why) => {
            effects
                .doubts
                .push(format!("whether {path} can be deleted: {why}"));
            return Ok(());
        }
    }
    if let Some(volume) = volume.volume_key() {
        effects.deletes.push(Deletion {
            volume,
            path: path.clone(),
        });
    }
    let Some(first) = look.obstacles.first() else {
        if let Known::Unknown(why) = &look.complete {
            effects.warnings.push(format!(
                "{path} was not looked at as a whole for what would keep the agent from deleting \
                 it: {why}"
            ));
        }
        return Ok(());
    };
    effects.obstacles.extend(
        look.obstacles
            .iter()
            .map(|one| format!("{} {}: {}", one.at, one.kind, one.kind.remedy())),
    );
    Err(format!(
        "Failed to remove persistent volume '{}' at '{}': {}",
        id(volume),
        text(path),
        first.kind.words()
    ))
}

/// Every directory that a start may make or delete.
pub(super) fn touched(facts: &StartFacts) -> Vec<TouchedVolume> {
    let mut effects = Effects::default();
    let Ok(believed) = believe(facts, true, &mut effects) else {
        return Vec::new();
    };
    let mut touched: BTreeMap<Raw, Entry> = BTreeMap::new();
    if let Some(target) = &believed.target {
        let old = volumes_by_path(facts, &believed.committed);
        let new = volumes_by_path(facts, target);
        let differs = |path: &Raw| old.contains_key(path) != new.contains_key(path);
        let both = old.iter().chain(&new);
        touched.extend(
            both.filter(|(path, _)| differs(path))
                .map(|(path, volume)| (path.clone(), volume.clone())),
        );
    }
    for operation in &believed.operations {
        if operation.state == OperationState::Pending {
            let volumes: Resources = operation.volumes.iter().collect();
            touched.extend(volumes_by_path(facts, &volumes));
        }
    }
    touched
        .into_iter()
        .map(|(path, volume)| TouchedVolume {
            path,
            keeps_root: matches!(volume.place(), Place::Mount(_)),
        })
        .collect()
}

/// Everything that any of the files names.
pub(super) fn everything(files: &CheckpointFacts) -> Resources {
    let states = [&files.state, &files.state_target];
    let infos = [&files.info, &files.info_target];
    let of_states = states
        .into_iter()
        .filter_map(CheckpointFile::whole)
        .flat_map(|state| &state.resources);
    let of_infos = infos
        .into_iter()
        .filter_map(CheckpointFile::whole)
        .flatten();
    of_states.chain(of_infos).collect()
}

/// What the agent says when what is checkpointed does not fit.
pub(super) fn fitted(
    resources: &Resources,
    checkpointed: &Resources,
) -> Result<Resources, Verdict> {
    fit::apply(resources, checkpointed).map_err(|words| {
        let words = format!(
            "Checkpointed resources {checkpointed} are incompatible with agent resources {}: \
             {words}",
            resources.json()
        );
        refusal(Check::Fit, in_recovery(&words), false)
    })
}
