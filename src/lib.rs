//! # mesos-volumed
//!
//! The storage sidecar of an Apache Mesos agent: it finds the ROOT, PATH and MOUNT disks of a host,
//! writes the agent's `--resources`, keeps the directories of persistent volumes right, wipes what
//! was destroyed and sweeps what was orphaned.
//!
//! The folder tree is the control loop:
//!
//! ```text
//!                pure: no clock, fs, net, env, tokio             effects
//!             ┌───────────────────────────────────────┐   ┌──────────────────────────┐
//!             │ mesos/   Mesos's words and formats    │   │ observe/  reads only     │
//!             │ units    sizes, times, raw names      │◄──┤           fills Facts    │
//!             │   ▲                                   │   │                          │
//!             │ decide/  facts guards plan check      │◄──┤ act/      the only writer│
//!             └───────▲───────────────────────────────┘   │           takes a        │
//!                     │                                   │           CheckedPlan    │
//! config/ ──► daemon/  observe → decide → check → act → record                         │
//!                ▲                                         └──────────▲───────────────┘
//! cli/ ──────────┘                                          sys/  kernel calls, HTTP: both use
//! ```
//!
//! * [`units`] and [`mesos`] know words and formats, nothing of this host.
//! * [`decide`] holds every decision as a pure function of [`decide::facts::Facts`].
//! * [`observe`] reads the host and fills the facts; it changes nothing.
//! * [`act`] is the only writer, and takes nothing but a checked plan.
//! * [`sys`] wraps the few kernel calls that observing and acting share. It is the one addition to
//!   the drawn shape: an identity must be computed by the same code when it is seen and when it is
//!   checked again on the open descriptor, and neither side may import the other. [`sys::http`]
//!   carries requests for both: questions are put in [`observe`], changing calls made in [`act`].
//! * [`config`] turns files into settings; [`daemon`] is the loop; [`cli`] renders text.
//!
//! `tests/it/layering.rs` fails on an arrow that is not drawn here.

pub mod act;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod decide;
pub mod mesos;
pub mod observe;
pub mod sys;
pub mod units;
