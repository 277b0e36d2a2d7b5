//! What holds for every start.

use std::collections::BTreeSet;

use mesos_volumed::decide::facts::{CheckpointFile, Known, LatestAgent, ReconfigurationPolicy};
use mesos_volumed::decide::preflight::{Check, Verdict, preflight};
use mesos_volumed::mesos::ids::Role;
use mesos_volumed::mesos::resources_json::read_resources;
use mesos_volumed::units::Raw;
use proptest::prelude::*;

use super::host::{BASE, directory, nothing, start, with_volumes, without_agent, without_volumes};

fn policies() -> impl Strategy<Value = ReconfigurationPolicy> {
    prop_oneof![
        Just(ReconfigurationPolicy::Equal),
        Just(ReconfigurationPolicy::Additive)
    ]
}

/// A size in thousandths, as JSON.
fn number(thousandths: u32) -> String {
    format!("{}.{:03}", thousandths / 1000, thousandths % 1000)
}

/// Entries that an agent takes: ROOT, PATH and MOUNT, of some roles; no MOUNT twice, with which no
/// agent comes back under `additive`.
fn entries() -> impl Strategy<Value = Vec<String>> {
    let entry =
        (0..3usize, 0..4usize, 1..5_000_000u32, 0..3usize).prop_map(|(kind, root, size, role)| {
            let source = match kind {
                0 => String::new(),
                1 => format!(
                    r#","disk":{{"source":{{"type":"PATH","path":{{"root":"/p{root}"}}}}}}"#
                ),
                _ => format!(
                    r#","disk":{{"source":{{"type":"MOUNT","mount":{{"root":"/m{root}"}}}}}}"#
                ),
            };
            let role = ["", r#","role":"prod""#, r#","role":"eng/db""#][role];
            let entry = format!(
                r#"{{"name":"disk","type":"SCALAR","scalar":{{"value":{}}}{role}{source}}}"#,
                number(size)
            );
            (entry, (kind == 2).then(|| format!("{role}{source}")))
        });
    prop::collection::vec(entry, 1..8).prop_map(|entries| {
        let mut mounts = BTreeSet::new();
        let mut is_first =
            |mount: &Option<String>| mount.as_ref().is_none_or(|one| mounts.insert(one.clone()));
        let mut kept = entries;
        kept.retain(|(_, mount)| is_first(mount));
        kept.into_iter().map(|(entry, _)| entry).collect()
    })
}

fn list(entries: &[String]) -> String {
    let mut all = vec![
        r#"{"name":"cpus","type":"SCALAR","scalar":{"value":2}}"#.to_owned(),
        r#"{"name":"mem","type":"SCALAR","scalar":{"value":64}}"#.to_owned(),
        r#"{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":9}]}}"#.to_owned(),
    ];
    all.extend(entries.iter().cloned());
    format!("[{}]", all.join(","))
}

/// The recorded host with `slave.info` of these resources, and disks at all roots.
fn registered_with(text: &str) -> mesos_volumed::decide::facts::StartFacts {
    let mut facts = without_volumes();
    if let CheckpointFile::Whole(info) = &mut facts.info {
        info.resources = read_resources(text, &Role::new("*")).unwrap().resources;
    }
    for root in 0..4 {
        for kind in ["p", "m"] {
            let path = format!("/{kind}{root}");
            let look = directory(&path, 10 + root, true);
            facts.roots.insert(Raw::from(path), look);
        }
    }
    facts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_same_resources_recover_in_any_order(
        entries in entries(),
        policy in policies(),
        rebooted: bool,
        turn in 0..8usize,
    ) {
        let mut shuffled = entries.clone();
        let length = shuffled.len();
        shuffled.rotate_left(turn % length);
        let mut input = start(registered_with(&list(&entries)), policy, &list(&shuffled));
        input.rebooted = Known::Known(rebooted);
        prop_assert_eq!(
            preflight(&input).verdict,
            Verdict::Recovers { first_start: false }
        );
    }

    #[test]
    fn any_other_number_on_a_held_mount_is_refused_whatever_the_policy(
        thousandths in 1..1_000_000u32,
        policy in policies(),
        rebooted: bool,
    ) {
        prop_assume!(thousandths != 240_000);
        let facts = with_volumes();
        let text = BASE.replace(
            r#"{"value":240}"#,
            &format!(r#"{{"value":{}}}"#, number(thousandths)),
        );
        let mut input = start(facts, policy, &text);
        input.rebooted = Known::Known(rebooted);
        let report = preflight(&input);
        let Verdict::Refuses { check: Check::Fit, text, once: false } = report.verdict else {
            return Err(TestCaseError::fail(format!("{:?}", report.verdict)));
        };
        prop_assert!(text.ends_with("does not contain disk[MOUNT:/srv/m/mnt/vol0]:240"));
        prop_assert_eq!(report.remedy.edits.len(), 1);
    }

    #[test]
    fn every_edit_that_is_offered_keeps_the_agent(
        before in entries(),
        after in entries(),
        policy in policies(),
        missing in prop::collection::vec(0..4usize, 0..3),
    ) {
        let mut facts = registered_with(&list(&before));
        for root in missing {
            facts.roots.insert(Raw::from(format!("/m{root}")), nothing());
        }
        let input = start(facts, policy, &list(&after));
        let report = preflight(&input);
        match report.verdict {
            Verdict::Recovers { .. } => {
                prop_assert!(report.remedy.edits.is_empty());
            }
            Verdict::Refuses { check: Check::Disks | Check::Policy, .. } => {
                let remedy = &report.remedy;
                prop_assert!(
                    !remedy.edits.is_empty() || remedy.no_edit.is_some(),
                    "{remedy:?}"
                );
                prop_assert_eq!(remedy.edits.is_empty(), remedy.no_edit.is_some());
            }
            Verdict::Refuses { .. } | Verdict::NewAgentId { .. } | Verdict::CannotTell { .. } => {
                return Err(TestCaseError::fail(format!("{:?}", report.verdict)));
            }
        }
    }

    #[test]
    fn a_reboot_never_turns_a_start_into_a_refusal(
        before in entries(),
        after in entries(),
        policy in policies(),
    ) {
        let mut input = start(registered_with(&list(&before)), policy, &list(&after));
        let without = preflight(&input).verdict;
        input.rebooted = Known::Known(true);
        let with = preflight(&input).verdict;
        match (without, with) {
            (Verdict::Recovers { .. }, Verdict::Recovers { .. })
            | (Verdict::Refuses { check: Check::Policy, .. }, Verdict::NewAgentId { .. }) => {}
            (without, with) => prop_assert!(false, "{without:?} {with:?}"),
        }
    }

    #[test]
    fn what_equal_allows_additive_allows(before in entries(), after in entries()) {
        let facts = registered_with(&list(&before));
        let equal = start(facts.clone(), ReconfigurationPolicy::Equal, &list(&after));
        let recovers = |verdict| matches!(verdict, Verdict::Recovers { .. });
        if recovers(preflight(&equal).verdict) {
            let additive = start(facts, ReconfigurationPolicy::Additive, &list(&after));
            prop_assert!(recovers(preflight(&additive).verdict));
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}", policy in policies()) {
        for facts in [with_volumes(), without_agent()] {
            let input = start(facts, policy, &text);
            let _report = preflight(&input);
        }
    }

    #[test]
    fn no_bitten_json_panics(at in 0..600usize, with in "\\PC{0,6}", cut in 0..8usize) {
        let mut text: Vec<char> = BASE.chars().collect();
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        text.splice(at..end, with.chars());
        let text: String = text.into_iter().collect();
        let mut input = start(
            with_volumes(),
            ReconfigurationPolicy::Equal,
            &text,
        );
        let _report = preflight(&input);
        input.facts.latest = LatestAgent::Missing { earlier: false };
        let _report = preflight(&input);
    }
}

#[test]
fn an_agent_that_never_ran_starts_with_anything_that_it_can_read() {
    let input = start(without_agent(), ReconfigurationPolicy::Equal, "");
    assert_eq!(
        preflight(&input).verdict,
        Verdict::Recovers { first_start: true }
    );
}
