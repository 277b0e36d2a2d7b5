//! How fast a wipe may go, from what is seen of its disk: feedback, as a pure function.
//!
//! The file system's ordinary rate is what a tenant hardly notices. From there:
//!
//! * Where space is needed urgently, or nobody else uses the disk, it goes as fast as it can.
//! * Where tasks wait for I/O for a larger share of the time than `wipe.pressure_limit`, it goes more
//!   slowly; up to where it came from again when that is over, a quarter at a time.
//!
//! Our own I/O makes pressure too, and so do tenants that are simply busy. The two are told apart by
//! resting: for a tenth of a second the wipe does nothing, and what is still seen is not ours. What
//! we add is taken back by a third at a time; what others make alone halves the rate and no more,
//! because going slower still would not help them, and the space would never come back.

use serde::Serialize;

/// What was seen since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Share of the time in which some task waited for I/O while the wipe worked, in percent;
    /// `None` where the kernel does not tell.
    pub worked: Option<f64>,
    /// The same while it rested; `None` where it did not rest.
    pub rested: Option<f64>,
    /// Whether somebody else was seen to use the drive; `None` where that can't be told.
    pub others: Option<bool>,
    /// Whether the file system is short of space.
    pub urgent: bool,
}

/// Between what the rate may move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Removals per second that suit the file system, or that the operator set; not 0.
    pub ordinary: u32,
    /// Whether it may go faster than that: an operator's number is kept to.
    pub hasten: bool,
    /// `wipe.pressure_limit`: above this share of time, in percent, it goes more slowly.
    pub limit: f64,
}

/// How fast it may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowed {
    /// As fast as it goes.
    Everything,
    /// So many removals per second.
    Rate(u32),
    /// Nothing until the next look.
    Nothing,
}

/// Below this share of the time, in percent, others are taken to be at rest.
const AT_REST: f64 = 5.0;

/// How fast a wipe may go until the next look.
#[must_use]
pub fn next(before: Allowed, sample: &Sample, bounds: &Bounds) -> Allowed {
    let Bounds {
        ordinary, limit, ..
    } = *bounds;
    let slowest = ordinary.div_ceil(20);
    let alone = sample.others == Some(false) && sample.rested.is_none_or(|rested| rested < AT_REST);
    if sample.urgent || alone {
        return if bounds.hasten {
            Allowed::Everything
        } else {
            Allowed::Rate(ordinary)
        };
    }
    let rate = match before {
        Allowed::Everything => ordinary,
        Allowed::Rate(rate) => rate.clamp(slowest, ordinary),
        Allowed::Nothing => slowest,
    };
    let pressed = sample.worked.is_some_and(|worked| worked > limit);
    if before == Allowed::Nothing {
        return Allowed::Rate(slowest);
    }
    if !pressed {
        let faster = rate.saturating_add(ordinary.div_ceil(4));
        return Allowed::Rate(faster.min(ordinary));
    }
    // Nothing told otherwise: it is ours.
    let ours = match (sample.worked, sample.rested) {
        (Some(worked), Some(rested)) => worked - rested,
        (Some(worked), None) => worked,
        (None, _) => 0.0,
    };
    if ours <= limit / 2.0 {
        return Allowed::Rate(rate.min(ordinary.div_ceil(2)));
    }
    match before {
        Allowed::Rate(rate) if rate <= slowest => Allowed::Nothing,
        Allowed::Everything | Allowed::Rate(_) | Allowed::Nothing => {
            let slower = rate.saturating_sub(rate.div_ceil(3));
            Allowed::Rate(slower.max(slowest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        ordinary: 20_000,
        hasten: true,
        limit: 20.0,
    };

    fn seen(worked: f64, rested: f64) -> Sample {
        Sample {
            worked: Some(worked),
            rested: Some(rested),
            others: Some(true),
            urgent: false,
        }
    }

    fn after(mut allowed: Allowed, samples: &[Sample]) -> Allowed {
        for sample in samples {
            allowed = next(allowed, sample, &BOUNDS);
        }
        allowed
    }

    #[test]
    fn an_idle_disk_and_urgent_space_let_it_run() {
        let idle = Sample {
            others: Some(false),
            ..seen(90.0, 0.5)
        };
        let urgent = Sample {
            urgent: true,
            ..seen(90.0, 10.0)
        };
        for sample in [idle, urgent] {
            let before = Allowed::Rate(1000);
            assert_eq!(next(before, &sample, &BOUNDS), Allowed::Everything);
            // A number that somebody set is kept to.
            let set = Bounds {
                hasten: false,
                ..BOUNDS
            };
            assert_eq!(next(before, &sample, &set), Allowed::Rate(20_000));
        }
        // No I/O of others was counted, but somebody waits for some.
        let waits = Sample {
            others: Some(false),
            ..seen(10.0, 10.0)
        };
        assert_eq!(
            next(Allowed::Everything, &waits, &BOUNDS),
            Allowed::Rate(20_000)
        );
        // Five hundredths of the time are a wait too.
        let waits = Sample {
            others: Some(false),
            ..seen(10.0, 5.0)
        };
        assert_eq!(
            next(Allowed::Everything, &waits, &BOUNDS),
            Allowed::Rate(20_000)
        );
        // What can't be told is not idle.
        let unknown = Sample::default();
        assert_eq!(
            next(Allowed::Everything, &unknown, &BOUNDS),
            Allowed::Rate(20_000)
        );
    }

    #[test]
    fn pressure_of_ours_slows_it_down_step_by_step_to_a_stop_that_does_not_last() {
        let mut allowed = Allowed::Everything;
        let mut rates = Vec::new();
        for _ in 0..12 {
            allowed = next(allowed, &seen(60.0, 10.0), &BOUNDS);
            match allowed {
                Allowed::Rate(rate) => rates.push(rate),
                Allowed::Nothing => rates.push(0),
                Allowed::Everything => panic!("{rates:?}"),
            }
        }
        assert_eq!(rates[..3], [13_333, 8_888, 5_925]);
        let first_stop = rates.iter().position(|&rate| rate == 0).unwrap();
        assert!(
            rates[..first_stop].windows(2).all(|two| two[0] > two[1]),
            "{rates:?}"
        );
        // It never stands still for good: bytes are owed.
        assert_eq!(rates[first_stop + 1], 1000, "{rates:?}");
    }

    #[test]
    fn pressure_of_others_halves_the_rate_and_no_more() {
        let busy = [seen(80.0, 78.0); 20];
        assert_eq!(after(Allowed::Rate(20_000), &busy), Allowed::Rate(10_000));
        assert_eq!(after(Allowed::Rate(3_000), &busy), Allowed::Rate(3_000));
    }

    #[test]
    fn it_comes_back_when_the_pressure_is_gone() {
        // The limit itself is no pressure yet.
        let at_limit = [seen(20.0, 0.0)];
        assert_eq!(
            after(Allowed::Rate(5_000), &at_limit),
            Allowed::Rate(10_000)
        );
        let calm = [seen(10.0, 9.0); 5];
        assert_eq!(after(Allowed::Nothing, &calm[..2]), Allowed::Rate(6_000));
        assert_eq!(after(Allowed::Nothing, &calm), Allowed::Rate(20_000));
    }

    #[test]
    fn pressure_without_a_rest_is_taken_for_ours() {
        let sample = Sample {
            rested: None,
            ..seen(30.0, 0.0)
        };
        assert_eq!(
            next(Allowed::Rate(9_000), &sample, &BOUNDS),
            Allowed::Rate(6_000)
        );
    }

    #[test]
    fn no_answer_leaves_the_bounds_whatever_is_seen() {
        let shares = [None, Some(0.0), Some(20.0), Some(100.0), Some(f64::NAN)];
        for ordinary in [1, 7, 20_000, u32::MAX - 1] {
            let bounds = Bounds { ordinary, ..BOUNDS };
            let before = [
                Allowed::Everything,
                Allowed::Nothing,
                Allowed::Rate(0),
                Allowed::Rate(u32::MAX),
            ];
            for (before, worked, rested) in before
                .iter()
                .flat_map(|&b| shares.map(|w| (b, w)))
                .flat_map(|(b, w)| shares.map(|r| (b, w, r)))
            {
                let sample = Sample {
                    worked,
                    rested,
                    others: Some(true),
                    urgent: false,
                };
                match next(before, &sample, &bounds) {
                    Allowed::Rate(rate) => assert!((1..=ordinary).contains(&rate)),
                    Allowed::Nothing => assert!(matches!(before, Allowed::Rate(_))),
                    Allowed::Everything => panic!("{before:?} {sample:?}"),
                }
            }
        }
    }
}
