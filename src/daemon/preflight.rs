//! Everything that an agent's start on this host depends on, observed for the judge.

use std::path::Path;

use super::clients;
use super::resources::layout;
use crate::act::publish;
use crate::config::{ResourcesFormat, Settings};
use crate::decide::facts::{
    AgentFlags, FlagText, Known, LatestAgent, ReconfigurationPolicy, StartFacts,
};
use crate::decide::preflight::{PreflightInput, roots, volumes};
use crate::mesos::layout::Layout;
use crate::observe::agent_flags::{self, Sources};
use crate::observe::agent_http::{Limits, Question};
use crate::observe::agent_process;
use crate::observe::places::Places;
use crate::observe::start::{self, Looker, StartError, detected_disk};
use crate::units::{Raw, chain};

/// What is to be judged, as far as somebody said so; the rest is found out.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The text for `--resources`.
    pub text: Option<FlagText>,
    /// The agent's policy.
    pub policy: Option<ReconfigurationPolicy>,
    /// The host has rebooted, whatever the boot ids say.
    pub rebooted: bool,
    /// Our own environment is the agent's too: we run before it, in its unit.
    pub in_unit: bool,
}

/// Why a start can't be judged.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The host.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Nobody knows what the agent is started with.
    #[error(
        "what --resources the agent is started with is not known ({why}); name a file with \
         --resources FILE, or set write_to in [resources]"
    )]
    NoText {
        /// Why the agent's own flags do not tell.
        why: String,
    },
    /// The file of `resources.write_to` can't be used.
    #[error("{file} can't be used: {why}")]
    Written {
        /// The file.
        file: Raw,
        /// Why.
        why: String,
    },
}

/// Observes this host for the judge. Nothing is made or changed.
pub fn observe(settings: &Settings, request: &Request) -> Result<PreflightInput, ObserveError> {
    let places = Places::default();
    let work_dir = &settings.agent.work_dir;
    let facts = start::files(&places, work_dir)?;
    let flags = flags(settings, request, &places, &facts);
    let text = match &request.text {
        Some(text) => text.clone(),
        None => text(settings, &flags)?,
    };
    let policy = request.policy.unwrap_or(match flags.policy {
        Known::Known(policy) => policy,
        Known::Absent => ReconfigurationPolicy::default(),
        Known::Unknown(_) => settings.resources.policy,
    });
    let rebooted = if request.rebooted {
        Known::Known(true)
    } else {
        rebooted(&facts)
    };
    let mut input = PreflightInput {
        facts,
        flags,
        text,
        policy,
        rebooted,
    };
    let looker = Looker::new(&places)?;
    let mut all = roots(&input);
    all.push(work_dir.clone());
    input.facts.roots = looker.roots(&all, &input.flags.directory);
    input.facts.volumes = looker.volumes(&volumes(&input.facts));
    if let Some(look) = input.facts.roots.get(work_dir) {
        input.facts.detected.disk = detected_disk(look);
    }
    Ok(input)
}

/// Whether the host has rebooted since an agent last ran, as an agent tells it.
pub(in crate::daemon) fn rebooted(facts: &StartFacts) -> Known<bool> {
    match (&facts.agent_boot, &facts.host_boot) {
        // An agent that can't read the file does not count that as a reboot.
        (Known::Absent | Known::Unknown(_), _) => Known::Known(false),
        (Known::Known(then), Known::Known(now)) => Known::Known(then != now),
        (Known::Known(_), Known::Absent) => Known::unknown("this host has no boot id"),
        (Known::Known(_), Known::Unknown(why)) => Known::Unknown(why.clone()),
    }
}

pub(in crate::daemon) fn flags(
    settings: &Settings,
    request: &Request,
    places: &Places,
    facts: &StartFacts,
) -> AgentFlags {
    let agent = &settings.agent;
    let processes = agent_process::observe(places, &agent.work_dir);
    let latest = match &facts.latest {
        LatestAgent::Id(id) => Known::Known(id.clone()),
        LatestAgent::Missing { .. } => Known::Absent,
        LatestAgent::Dangling => Known::unknown("meta/slaves/latest leads nowhere"),
        LatestAgent::Unknown(why) => Known::Unknown(why.clone()),
    };
    // Without the credentials the agent may still answer; what it does not tell counts as unchanged.
    let access = clients::access(&agent.access).unwrap_or_default();
    let question = Question {
        url: agent.url.as_deref(),
        access: &access,
        work_dir: &agent.work_dir,
        latest: &latest,
        limits: Limits::default(),
    };
    let environment = request.in_unit.then(|| {
        std::env::vars_os()
            .map(|(name, value)| (Raw::from(name), Raw::from(value)))
            .collect()
    });
    agent_flags::observe(&Sources {
        places,
        work_dir: &agent.work_dir,
        processes: &processes,
        // Before the agent's start nobody answers.
        question: (!request.in_unit).then_some(question),
        environment,
    })
}

/// The text that the agent would read: its own flag's, or the one that we wrote for it.
fn text(settings: &Settings, flags: &AgentFlags) -> Result<FlagText, ObserveError> {
    let why = match &flags.resources {
        Known::Known(text) => return Ok(text.clone()),
        Known::Absent => {
            return Ok(FlagText {
                text: String::new(),
                from: format!("{}, without --resources", flags.source),
            });
        }
        Known::Unknown(why) => why.to_string(),
    };
    match &settings.resources.write_to {
        Some(file) => written(file, settings.resources.format),
        // Only where we wrote it: nobody said that the agent reads it.
        None => match settings.resources_file(settings.resources.format) {
            Some(file) if matches!(publish::read(&file), Ok(Some(_))) => {
                written(&file, settings.resources.format)
            }
            Some(_) | None => Err(ObserveError::NoText { why }),
        },
    }
}

/// What `resources --write` wrote.
fn written(file: &Path, form: ResourcesFormat) -> Result<FlagText, ObserveError> {
    let name = Raw::from(file);
    let bad = |why: String| ObserveError::Written {
        file: name.clone(),
        why,
    };
    let bytes = publish::read(file)
        .map_err(|error| bad(chain(&error)))?
        .ok_or_else(|| bad("it is not there".to_owned()))?;
    let content =
        String::from_utf8(bytes).map_err(|_not_utf8| bad("it is not UTF-8".to_owned()))?;
    let text = layout(form)
        .read(&content)
        .map_err(|error| bad(chain(&error)))?;
    Ok(FlagText {
        text: text.unwrap_or_default(),
        from: name.to_string(),
    })
}

/// The value of `MESOS_RESOURCES` in an environment file; the last one counts.
pub fn from_environment(text: &str) -> Result<String, String> {
    match Layout::Env.read(text) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err("it does not set MESOS_RESOURCES".to_owned()),
        Err(error) => Err(chain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_for_an_environment_is_read_again() {
        let env = "# ours\nMESOS_RESOURCES=\"[{\\\"name\\\":\\\"disk\\\"}]\"\n";
        assert_eq!(from_environment(env).unwrap(), r#"[{"name":"disk"}]"#);
        assert!(from_environment("A=1\n").is_err());
        assert!(from_environment("MESOS_RESOURCES=$X\n").is_err());
    }
}
