//! What is reserved dynamically, and volumes, must fit into `--resources`
//! (src/common/resources_utils.cpp). It is independent of policy and reboot.

use crate::mesos::resources::{Entry, Resources};
use crate::units::Megabytes;

/// The total with the checkpointed entries applied, or the agent's words why that can't be.
pub(super) fn apply(total: &Resources, checkpointed: &Resources) -> Result<Resources, String> {
    let mut total = total.clone();
    for entry in checkpointed.entries() {
        if !entry.is_checkpointed() {
            return Err(format!("Unexpected checkpointed resources {entry}"));
        }
        let stripped = entry.stripped();
        if !total.contains(&stripped) {
            return Err(format!(
                "Incompatible agent resources: {total} does not contain {stripped}"
            ));
        }
        total.subtract(&stripped);
        total.add(entry);
    }
    Ok(total)
}

/// The smallest change after which what is checkpointed fits.
pub(super) fn widened(total: &Resources, checkpointed: &Resources) -> Resources {
    // Resources add ROOT and PATH up, and keep each MOUNT for itself.
    let needs: Resources = checkpointed.entries().iter().map(Entry::stripped).collect();
    let mut wide: Vec<Entry> = total.entries().to_vec();
    let mut used = vec![false; wide.len()];
    for need in needs.entries() {
        let whole = !divisible(need);
        let fits = |entry: &Entry| {
            entry.same_metadata(need)
                && if whole {
                    entry.same_value(need)
                } else {
                    need.at_most(entry)
                }
        };
        let free = |index: &usize| used.get(*index) == Some(&false);
        let at = |wanted: &dyn Fn(&Entry) -> bool| {
            wide.iter()
                .enumerate()
                .filter(|(index, entry)| free(index) && wanted(entry))
                .map(|(index, _)| index)
                .next()
        };
        let index = at(&fits).or_else(|| at(&|entry| entry.same_metadata(need)));
        let found = index.and_then(|index| wide.get_mut(index).zip(used.get_mut(index)));
        if let Some((entry, used)) = found {
            if !fits(entry) {
                *entry = need.clone();
            }
            *used = true;
        } else {
            wide.push(need.clone());
            used.push(true);
        }
    }
    wide.into_iter().collect()
}

/// Whether a smaller part of it can be used: of a MOUNT none can.
fn divisible(entry: &Entry) -> bool {
    let Some(number) = entry.scalar() else {
        return true;
    };
    let less = Megabytes::from_thousandths(number.thousandths().saturating_sub(1));
    let whole: Resources = [entry.clone()].into_iter().collect();
    whole.contains(&entry.with_scalar(less))
}
