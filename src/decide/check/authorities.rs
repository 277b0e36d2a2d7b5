//! Whether the authorities may be believed, and what they say of one volume.

use super::{Reader, Verdict, must};
use crate::decide::facts::{AgentAnswer, CheckpointFile, Facts, Known};
use crate::decide::memory::Memory;
use crate::mesos::ids::VolumeKey;

impl Reader<'_> {
    /// Every authority was read whole; says nothing about emptiness.
    pub(super) fn doubtless(&self) -> Verdict {
        let facts = self.facts;
        must(facts.version == Facts::VERSION, || {
            "these facts are of another version".to_owned()
        })?;
        let checkpoint = &facts.checkpoint;
        let damaged = matches!(checkpoint.state, CheckpointFile::Damaged(_))
            || matches!(
                checkpoint.state_target,
                CheckpointFile::Damaged(_) | CheckpointFile::Empty
            )
            || matches!(checkpoint.info, CheckpointFile::Damaged(_))
            || matches!(checkpoint.info_target, CheckpointFile::Damaged(_));
        must(!damaged, || "a checkpoint file is damaged".to_owned())?;
        let unknown = [
            facts.providers.why(),
            facts.tasks.why(),
            facts.agent.latest.why(),
            facts.agent.run.why(),
            facts.memory.why(),
        ];
        if let Some(why) = unknown.into_iter().flatten().next() {
            return Err(format!("an authority is unknown: {why}"));
        }
        if let Known::Known(memory) = &facts.memory {
            must(memory.version == Memory::VERSION, || {
                "the memory is of another version".to_owned()
            })?;
        }
        let processes = facts
            .agent
            .processes
            .known()
            .ok_or("agent processes are unknown")?;
        let running = processes.iter().any(|agent| agent.ours);
        match &facts.answer {
            AgentAnswer::NotConfigured | AgentAnswer::State(_) => {}
            AgentAnswer::Refused if !running => {}
            AgentAnswer::Refused | AgentAnswer::Recovering | AgentAnswer::Unknown(_) => {
                return Err("the agent's answer is unknown".to_owned());
            }
        }
        must(
            !facts.policy.require_agent || running || matches!(facts.answer, AgentAnswer::State(_)),
            || "the agent is down".to_owned(),
        )
    }

    /// Every authority was read whole, and emptiness is not taken for an answer.
    pub(super) fn read_authorities(&self) -> Verdict {
        self.doubtless()?;
        let checkpoint = &self.facts.checkpoint;
        let nothing = match (&checkpoint.state, &checkpoint.info) {
            // Both say "nothing", or the newer file says something: that is proof.
            (CheckpointFile::Whole(_), CheckpointFile::Empty) => false,
            (CheckpointFile::Whole(state), info) => {
                state.resources.is_empty() && !info.whole().is_some_and(Vec::is_empty)
            }
            (CheckpointFile::Missing, info) => info.whole().is_none(),
            (CheckpointFile::Empty | CheckpointFile::Damaged(_), _) => true,
        };
        if nothing || self.memory.lost_across_start {
            let accepted = self
                .memory
                .empty_accepted_at
                .is_some_and(|at| self.memory.clock.lived.minus(at) >= self.facts.policy.grace);
            must(accepted, || "an empty checkpoint is no proof".to_owned())?;
        }
        Ok(())
    }

    /// Authorities are whole, name the volume nowhere, hide nothing, and no glob protects it.
    pub(super) fn nobody_wants(&self, key: &VolumeKey) -> Verdict {
        self.authorities.clone()?;
        must(!self.named.holds(key), || format!("{key} is held"))?;
        if let AgentAnswer::State(state) = &self.facts.answer {
            must(
                self.named.shown(&state.roles) || state.roles.contains(&key.role),
                || format!("the agent's answer hides role {}", key.role),
            )?;
        }
        self.unprotected(key)
    }

    pub(super) fn unprotected(&self, key: &VolumeKey) -> Verdict {
        use std::os::unix::ffi::OsStrExt as _;
        let name = key.role.as_raw().join(key.id.as_raw());
        for glob in &self.protect {
            let glob = glob.as_ref().map_err(Clone::clone)?;
            must(
                !glob.is_match(std::ffi::OsStr::from_bytes(name.as_bytes())),
                || format!("{key} is protected by {}", glob.glob()),
            )?;
        }
        Ok(())
    }
}
