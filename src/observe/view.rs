//! What the running agents see under a root.

use super::mountinfo;
use super::places::Places;
use super::read;
use super::walk::{Viewpoint, WalkError, normal};
use crate::decide::facts::{AgentProcess, AgentView, Known, MountTable, RootFacts};
use crate::mesos::disk::DiskType;
use crate::mesos::paths;
use crate::sys;
use crate::units::{Raw, chain};

/// The agents of this host and where they look from.
#[derive(Debug)]
pub(super) struct Agents<'a> {
    processes: &'a Known<Vec<AgentProcess>>,
    own: Result<Viewpoint, WalkError>,
    /// Of each agent that is ours and lives in another mount namespace, or below another root.
    others: Vec<(i32, Result<Viewpoint, WalkError>)>,
}

impl<'a> Agents<'a> {
    pub(super) fn new(places: &Places, processes: &'a Known<Vec<AgentProcess>>) -> Self {
        let own_sight = sight(&places.proc.join("self"));
        let others = processes
            .known()
            .into_iter()
            .flatten()
            .filter(|agent| agent.ours)
            .filter(|agent| {
                let sight = sight(&places.proc.join(agent.pid.to_string()));
                sight.is_none() || sight != own_sight
            })
            .map(|agent| (agent.pid, Viewpoint::of(places, agent.pid)))
            .collect();
        Self {
            processes,
            own: mountinfo::read_self()
                .map_err(WalkError::from)
                .and_then(|entries| Viewpoint::own(MountTable::new(entries))),
            others,
        }
    }

    /// What they see under this root; of several answers the one that forbids most.
    pub(super) fn view(&self, root: &RootFacts) -> AgentView {
        let processes = match self.processes {
            Known::Known(processes) => processes,
            Known::Absent => return AgentView::Unknown("agents were not looked for".to_owned()),
            Known::Unknown(why) => return AgentView::Unknown(why.to_string()),
        };
        let used_by_others = processes.iter().map(|agent| used_by_another(agent, root));
        let seen = self.others.iter().map(|(pid, theirs)| match theirs {
            Ok(theirs) => self.compare(*pid, theirs, root),
            Err(error) => AgentView::Unknown(format!(
                "what the agent with pid {pid} sees can't be told: {}",
                chain(error)
            )),
        });
        let base = if processes.iter().any(|agent| agent.ours) {
            AgentView::Same
        } else {
            AgentView::NoAgent
        };
        used_by_others
            .chain(seen)
            .max_by_key(weight)
            .filter(|worst| weight(worst) > weight(&base))
            .unwrap_or(base)
    }

    fn compare(&self, pid: i32, theirs: &Viewpoint, root: &RootFacts) -> AgentView {
        let Known::Known(mount) = &root.mount else {
            return AgentView::Unknown(format!("{} is not there", root.disk.root));
        };
        if mount.network {
            return AgentView::Unknown(format!("{} is never asked", root.disk.root));
        }
        let own = match &self.own {
            Ok(own) => own,
            Err(error) => return AgentView::Unknown(chain(error)),
        };
        let top = normal(&root.disk.root);
        let mut paths_to_compare = vec![top.clone()];
        if root.kind() != DiskType::Mount {
            // Something may be mounted below the root in its namespace.
            paths_to_compare.push(top.join(paths::VOLUMES));
            paths_to_compare.push(top.join(paths::ROLES));
        }
        for path in paths_to_compare {
            match (node(own, &path), node(theirs, &path)) {
                (Ok(None), Ok(None)) => {}
                (Ok(Some(ours)), Ok(Some(theirs))) if ours == theirs => {}
                (Ok(_), Ok(None)) => {
                    return AgentView::Other(format!(
                        "the agent with pid {pid} sees nothing at {path}"
                    ));
                }
                (Ok(_), Ok(Some(_))) => {
                    return AgentView::Other(format!(
                        "the agent with pid {pid} sees something else at {path}, in its own mount \
                         namespace or root directory"
                    ));
                }
                (Err(why), _) | (_, Err(why)) => {
                    return AgentView::Unknown(format!(
                        "what the agent with pid {pid} sees at {path} can't be compared: {why}"
                    ));
                }
            }
        }
        AgentView::Same
    }
}

fn weight(view: &AgentView) -> u8 {
    match view {
        AgentView::NoAgent => 0,
        AgentView::Same => 1,
        AgentView::Unknown(_) => 2,
        AgentView::Other(_) => 3,
    }
}

/// Mount namespace and root directory of a process.
fn sight(folder: &Raw) -> Option<(Raw, Raw)> {
    match (
        read::link(&folder.join("ns/mnt")),
        read::link(&folder.join("root")),
    ) {
        (Ok(namespace), Ok(root)) => Some((namespace, root)),
        // Then it is compared by what lies there.
        (Err(_), _) | (_, Err(_)) => None,
    }
}

fn node(view: &Viewpoint, path: &Raw) -> Result<Option<sys::Node>, String> {
    match view.follow(path) {
        Ok(found) => sys::node(&found.fd)
            .map(|mut node| {
                // These change while one looks.
                node.links = 0;
                node.size = 0;
                Some(node)
            })
            .map_err(|errno| errno.to_string()),
        Err(WalkError::Missing { .. }) => Ok(None),
        Err(error) => Err(chain(&error)),
    }
}

/// Whether an agent of another work_dir uses the root's file system, too.
fn used_by_another(agent: &AgentProcess, root: &RootFacts) -> AgentView {
    let Known::Known(mount) = &root.mount else {
        return AgentView::NoAgent;
    };
    match &agent.filesystems {
        Known::Known(filesystems) if filesystems.contains(&mount.device) => {
            let work_dir = match &agent.work_dir {
                Known::Known(work_dir) => format!(" and work_dir {work_dir}"),
                Known::Absent | Known::Unknown(_) => String::new(),
            };
            AgentView::Other(format!(
                "the agent with pid {}{work_dir} uses the file system of {}, too",
                agent.pid, root.disk.root
            ))
        }
        Known::Known(_) | Known::Absent => AgentView::NoAgent,
        Known::Unknown(why) => AgentView::Unknown(why.to_string()),
    }
}
