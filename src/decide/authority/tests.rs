//! What it means that somebody names a volume.

use super::*;

fn named_by(effective: bool, sources: &[Source]) -> Claim {
    Claim {
        sources: sources.iter().copied().collect(),
        effective,
        ..Claim::default()
    }
}

#[test]
fn who_would_know_of_its_end_says_that_a_volume_is_alive() {
    let none: &[Source] = &[];
    assert!(!named_by(false, none).alive());
    assert!(named_by(true, none).alive());
    for source in [Source::Provider, Source::Answer] {
        assert!(named_by(false, &[source]).alive(), "{source:?}");
        assert!(named_by(false, &[Source::Info, source]).alive());
    }
    // A task outlives it, an operation is only wanted, a file may be of an earlier agent.
    for source in [
        Source::State,
        Source::StateTarget,
        Source::Info,
        Source::InfoTarget,
        Source::Operation,
        Source::Task,
    ] {
        assert!(!named_by(false, &[source]).alive(), "{source:?}");
        assert!(named_by(true, &[source]).alive(), "{source:?}");
    }
}

#[test]
fn a_name_is_stale_only_where_nobody_but_the_older_file_has_it() {
    use Source::{Answer, Info, InfoTarget, Operation, Provider, State, StateTarget, Task};
    for sources in [&[Info][..], &[InfoTarget], &[Info, InfoTarget]] {
        assert!(named_by(false, sources).stale_only(), "{sources:?}");
        // An agent before 1.8 has no other file.
        assert!(!named_by(true, sources).stale_only(), "{sources:?}");
    }
    assert!(!named_by(false, &[]).stale_only());
    for other in [State, StateTarget, Operation, Provider, Task, Answer] {
        assert!(!named_by(false, &[other]).stale_only(), "{other:?}");
        assert!(!named_by(false, &[Info, other]).stale_only(), "{other:?}");
    }
}
