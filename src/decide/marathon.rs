//! Marathon's stateful instances: what is to be said of them, which may be wiped, and in which
//! order.
//!
//! A volume of Marathon's goes when its *instance* is wiped. An instance that runs, that may run
//! again any moment, or that an upgrade has just stopped to start it anew on the same volume, is
//! never taken for one that is over.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::mesos::marathon::{
    App, Group, LocalVolume, PodStatus, TaskState, Under, UpgradeStrategy,
};

/// Which kind of definition an instance belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An app: its instances are tasks.
    App,
    /// A pod.
    Pod,
}

/// An app or a pod with volumes.
#[derive(Clone, Debug, PartialEq)]
pub struct Stateful {
    /// Its id.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// How many instances it shall have; `None` where that is not told.
    pub wanted: Option<u64>,
    /// How it is upgraded.
    pub strategy: Option<UpgradeStrategy>,
    /// The role whose resources it uses, where the answer tells.
    pub role: Option<String>,
    /// Whether Marathon is changing it right now.
    pub deploying: bool,
    /// Its instances that have volumes.
    pub instances: Vec<Instance>,
}

/// An instance with volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The id of its task, or of the pod's instance.
    pub id: String,
    /// The host that it is pinned to.
    pub host: Option<String>,
    /// The agent that it is pinned to.
    pub agent: Option<String>,
    /// What it does.
    pub state: TaskState,
    /// Its volumes.
    pub volumes: Vec<LocalVolume>,
}

fn is_under(id: &str, under: &[Under]) -> bool {
    under.iter().any(|one| {
        let mut affected = one.affected_apps.iter().chain(&one.affected_pods);
        affected.any(|affected| affected == id)
    })
}

/// Apps and pods that keep something, in the order of their ids.
#[must_use]
pub fn stateful(apps: &[App], pods: &[PodStatus], under: &[Under]) -> Vec<Stateful> {
    let of_apps = apps
        .iter()
        .filter(|app| app.is_stateful())
        .map(|app| of_app(app, under));
    let of_pods = pods.iter().map(|pod| of_pod(pod, under));
    let mut all: Vec<Stateful> = of_apps
        .chain(of_pods.filter(|pod| !pod.instances.is_empty()))
        .collect();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all
}

/// An app, whether it keeps something or not.
#[must_use]
pub fn of_app(app: &App, under: &[Under]) -> Stateful {
    let instances = app.tasks.iter().map(|task| Instance {
        id: task.id.clone(),
        host: task.host.clone(),
        agent: task.slave_id.clone(),
        state: task.now(),
        volumes: task.local_volumes.clone(),
    });
    Stateful {
        id: app.id.clone(),
        kind: Kind::App,
        wanted: Some(app.instances),
        strategy: app.upgrade_strategy,
        role: app.role.clone(),
        deploying: !app.deployments.is_empty() || is_under(&app.id, under),
        instances: with_volumes(instances),
    }
}

/// A pod, whether it keeps something or not.
#[must_use]
pub fn of_pod(pod: &PodStatus, under: &[Under]) -> Stateful {
    let instances = pod.instances.iter().map(|one| Instance {
        id: one.id.clone(),
        host: one.agent_hostname.clone(),
        agent: one.agent_id.clone(),
        state: one.now(),
        volumes: one.local_volumes.clone(),
    });
    Stateful {
        id: pod.id.clone(),
        kind: Kind::Pod,
        wanted: pod
            .spec
            .as_ref()
            .map(crate::mesos::marathon::PodSpec::wanted),
        strategy: pod
            .spec
            .as_ref()
            .and_then(crate::mesos::marathon::PodSpec::strategy),
        role: None,
        deploying: is_under(&pod.id, under),
        instances: with_volumes(instances),
    }
}

fn with_volumes(instances: impl Iterator<Item = Instance>) -> Vec<Instance> {
    instances.filter(|one| !one.volumes.is_empty()).collect()
}

/// What an operator should know of an app or pod with volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Its only copy is one local volume.
    NoReplica,
    /// Its upgrade strategy is above 0.5 / 0.
    UpgradeStrategy,
}

impl Mark {
    /// What is so, and what to do.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoReplica => "no replica: back it up",
            Self::UpgradeStrategy => {
                "upgrade strategy above 0.5/0: set minimumHealthCapacity to 0.5 or less and \
                 maximumOverCapacity to 0, or an upgrade waits for itself or starts on empty volumes"
            }
        }
    }
}

impl Stateful {
    /// What an operator should know of it.
    #[must_use]
    pub fn marks(&self) -> Vec<Mark> {
        let mut marks = Vec::new();
        // Two copies may still be two halves; that there is one only is certain.
        if self.instances.len() < 2 && self.wanted.is_none_or(|wanted| wanted < 2) {
            marks.push(Mark::NoReplica);
        }
        if self.strategy.is_some_and(|one| !one.suits_volumes()) {
            marks.push(Mark::UpgradeStrategy);
        }
        marks
    }

    /// Whether Marathon waits to launch one of those that wait.
    fn awaits(&self) -> bool {
        let up = self.instances.iter();
        let up = up.filter(|one| one.state != TaskState::Waiting).count();
        self.wanted
            .is_none_or(|wanted| wanted > u64::try_from(up).unwrap_or(u64::MAX))
    }

    /// The instance of this id, or, where Marathon has given it another since, with these volumes.
    #[must_use]
    pub fn instance(&self, id: &str, volumes: &[String]) -> Option<&Instance> {
        let has = |one: &&Instance| {
            one.id == id
                || one
                    .volumes
                    .iter()
                    .any(|volume| volumes.contains(&volume.persistence_id))
        };
        self.instances.iter().find(has)
    }

    /// What has to be done so that an instance of it goes with its volumes, or why it has to stay.
    pub fn may_wipe(&self, instance: &Instance, scale: bool) -> Result<Way, Stays> {
        if self.deploying {
            return Err(Stays::Deploying);
        }
        let why = match instance.state {
            TaskState::Running => Stays::Running,
            TaskState::Lost => Stays::Lost,
            TaskState::Waiting if self.awaits() => Stays::Awaited,
            TaskState::Waiting => return Ok(Way::Wipe),
        };
        match (scale, self.kind) {
            (false, _) => Err(why),
            (true, Kind::App) => Ok(Way::ScaleAndWipe),
            (true, Kind::Pod) => Err(Stays::Pod),
        }
    }
}

/// What is done to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It is deleted with `wipe=true`.
    Wipe,
    /// Its app is scaled down by it first, and it ends.
    ScaleAndWipe,
}

/// Why an instance stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Stays {
    /// It runs.
    #[error("it runs; `--scale` ends it and gives its app one instance less")]
    Running,
    /// Its agent is away; its task may well run there.
    #[error(
        "its agent can't be reached, and its task may still run there; `--scale` gives its app one \
         instance less and wipes it once the agent is back"
    )]
    Lost,
    /// Marathon wants more instances than run: it may be launched any moment.
    #[error(
        "it waits to be launched again: its app shall have more instances than run; scale the app \
         down first, or give `--scale`"
    )]
    Awaited,
    /// An upgrade, a restart or a scaling goes on.
    #[error(
        "a deployment of it goes on, which may start it again on its volumes; wait until it has ended"
    )]
    Deploying,
    /// A pod can't be scaled down by an instance of one's choice.
    #[error(
        "Marathon does not let a pod be scaled down by an instance of one's choice; scale the pod down, \
         and wipe what waits then"
    )]
    Pod,
}

/// Why there is no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} depend on one another, so that none can go first", .0.join(", "))]
pub struct Circle(pub Vec<String>);

/// Every app and pod of a group so that what depends on another comes before it: the reverse of the
/// order in which Marathon starts them.
pub fn order(group: &Group) -> Result<Vec<String>, Circle> {
    let mut needs = BTreeMap::new();
    gather(group, &BTreeSet::new(), &mut needs);
    // A dependency on a group is one on all that is in it.
    let ids: BTreeSet<String> = needs.keys().cloned().collect();
    let needs: BTreeMap<String, BTreeSet<String>> = needs
        .into_iter()
        .map(|(id, on)| {
            let on = ids
                .iter()
                .filter(|other| **other != id && on.iter().any(|on| is_in(other, on)))
                .cloned()
                .collect();
            (id, on)
        })
        .collect();
    let mut left = ids;
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let free: Vec<String> = left
            .iter()
            .filter(|id| {
                // Nobody that is left needs it.
                !left
                    .iter()
                    .any(|other| needs.get(other).is_some_and(|needs| needs.contains(*id)))
            })
            .cloned()
            .collect();
        if free.is_empty() {
            return Err(Circle(left.into_iter().collect()));
        }
        for id in free {
            left.remove(&id);
            ordered.push(id);
        }
    }
    Ok(ordered)
}

/// Whether an id is this one, or lies in the group of that name.
#[must_use]
pub fn is_in(id: &str, group: &str) -> bool {
    let group = group.trim_end_matches('/');
    id.strip_prefix(group)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn gather(
    group: &Group,
    inherited: &BTreeSet<String>,
    needs: &mut BTreeMap<String, BTreeSet<String>>,
) {
    let mut all = inherited.clone();
    all.extend(resolved(&group.dependencies, &group.id));
    for app in &group.apps {
        let mut on = all.clone();
        on.extend(resolved(&app.dependencies, &group.id));
        needs.insert(app.id.clone(), on);
    }
    for pod in &group.pods {
        needs.insert(pod.id.clone(), all.clone());
    }
    for inner in &group.groups {
        gather(inner, &all, needs);
    }
}

/// Marathon takes `../db` and `db` too, from the group that they stand in.
fn resolved<'a>(dependencies: &'a [String], group: &'a str) -> impl Iterator<Item = String> + 'a {
    dependencies.iter().map(move |one| {
        if one.starts_with('/') {
            return one.clone();
        }
        let mut parts: Vec<&str> = group.split('/').filter(|part| !part.is_empty()).collect();
        for part in one.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        format!("/{}", parts.join("/"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos::marathon::{parse_apps, parse_group, parse_pods};

    fn app(instances: u32, states: &[&str]) -> Stateful {
        let tasks: Vec<_> = states
            .iter()
            .enumerate()
            .map(|(at, state)| {
                serde_json::json!({"id": format!("pg.{at}"), "state": state, "localVolumes":
                    [{"containerPath": "d", "persistenceId": format!("pg#d#{at}")}]})
            })
            .collect();
        let body = serde_json::json!({"apps": [{"id": "/pg", "instances": instances,
            "residency": {}, "tasks": tasks}]});
        let apps = parse_apps(body.to_string().as_bytes()).unwrap();
        stateful(&apps, &[], &[]).remove(0)
    }

    fn verdicts(app: &Stateful, scale: bool) -> Vec<Result<Way, Stays>> {
        let all = app.instances.iter();
        all.map(|one| app.may_wipe(one, scale)).collect()
    }

    #[test]
    fn what_runs_or_may_run_any_moment_stays_unless_its_app_is_scaled_down() {
        let waits = app(1, &["TASK_RUNNING", "TASK_KILLED"]);
        assert_eq!(
            verdicts(&waits, false),
            [Err(Stays::Running), Ok(Way::Wipe)]
        );
        assert_eq!(
            verdicts(&waits, true),
            [Ok(Way::ScaleAndWipe), Ok(Way::Wipe)]
        );
        // An upgrade with minimumHealthCapacity 0 and a crash look like this for a while.
        let between = app(2, &["TASK_RUNNING", "TASK_KILLED"]);
        assert_eq!(
            verdicts(&between, false),
            [Err(Stays::Running), Err(Stays::Awaited)]
        );
        let lost = app(1, &["TASK_UNREACHABLE"]);
        assert_eq!(verdicts(&lost, false), [Err(Stays::Lost)]);
        assert_eq!(verdicts(&lost, true), [Ok(Way::ScaleAndWipe)]);
    }

    #[test]
    fn nothing_goes_while_marathon_changes_it() {
        let mut app = app(0, &["TASK_KILLED"]);
        assert_eq!(verdicts(&app, false), [Ok(Way::Wipe)]);
        app.deploying = true;
        assert_eq!(verdicts(&app, true), [Err(Stays::Deploying)]);
    }

    #[test]
    fn a_pods_waiting_instance_goes_and_a_running_one_never_does() {
        let pods = |wanted: u32| {
            let body = serde_json::json!([{"id": "/p",
                "spec": {"scaling": {"kind": "fixed", "instances": wanted}},
                "instances": [
                    {"id": "p.1", "status": "TERMINAL",
                     "localVolumes": [{"containerPath": "d", "persistenceId": "p#d#1"}]},
                    {"id": "p.2", "status": "STABLE",
                     "localVolumes": [{"containerPath": "d", "persistenceId": "p#d#2"}]}]}]);
            let pods = parse_pods(body.to_string().as_bytes()).unwrap();
            stateful(&[], &pods, &[]).remove(0)
        };
        assert_eq!(verdicts(&pods(1), true), [Ok(Way::Wipe), Err(Stays::Pod)]);
        assert_eq!(
            verdicts(&pods(2), false),
            [Err(Stays::Awaited), Err(Stays::Running)]
        );
        let deploying = parse_pods(
            br#"[{"id": "/p", "instances": [{"id": "p.1", "status": "TERMINAL",
                "localVolumes": [{"containerPath": "d", "persistenceId": "p#d#1"}]}]}]"#,
        )
        .unwrap();
        let under = Under {
            id: "d".to_owned(),
            affected_apps: Vec::new(),
            affected_pods: vec!["/p".to_owned()],
        };
        let pod = stateful(&[], &deploying, &[under]).remove(0);
        assert_eq!(verdicts(&pod, false), [Err(Stays::Deploying)]);
        // How many are wanted is not told: any may be.
        let pod = stateful(&[], &deploying, &[]).remove(0);
        assert_eq!(verdicts(&pod, false), [Err(Stays::Awaited)]);
    }

    #[test]
    fn one_copy_and_a_strategy_that_starts_more_are_marked() {
        let mut one = app(1, &["TASK_RUNNING"]);
        assert_eq!(one.marks(), [Mark::NoReplica]);
        one.strategy = Some(UpgradeStrategy {
            minimum_health_capacity: 1.0,
            maximum_over_capacity: 1.0,
        });
        assert_eq!(one.marks(), [Mark::NoReplica, Mark::UpgradeStrategy]);
        assert_eq!(app(2, &["TASK_RUNNING", "TASK_RUNNING"]).marks(), []);
        // A second one is wanted, or is there.
        assert_eq!(app(2, &["TASK_RUNNING"]).marks(), []);
        assert_eq!(app(1, &["TASK_RUNNING", "TASK_KILLED"]).marks(), []);
        assert_eq!(app(0, &["TASK_KILLED"]).marks(), [Mark::NoReplica]);
    }

    #[test]
    fn an_instance_is_known_again_by_its_volumes() {
        let app = app(2, &["TASK_RUNNING", "TASK_KILLED"]);
        let found = |id: &str, volumes: &[&str]| {
            let volumes: Vec<String> = volumes.iter().map(ToString::to_string).collect();
            app.instance(id, &volumes).map(|one| one.id.clone())
        };
        assert_eq!(found("pg.1", &[]).as_deref(), Some("pg.1"));
        assert_eq!(found("pg.7", &["x", "pg#d#1"]).as_deref(), Some("pg.1"));
        assert_eq!(found("pg.7", &["x"]), None);
    }

    #[test]
    fn an_app_is_changed_by_a_deployment_of_its_own_or_one_that_affects_it() {
        let body = serde_json::json!({"apps": [
            {"id": "/a", "instances": 0, "residency": {}, "deployments": [{"id": "d"}]},
            {"id": "/b", "instances": 0, "residency": {}},
            {"id": "/c", "instances": 0, "residency": {}}]});
        let apps = parse_apps(body.to_string().as_bytes()).unwrap();
        let under = Under {
            id: "e".to_owned(),
            affected_apps: vec!["/b".to_owned()],
            affected_pods: Vec::new(),
        };
        let changing: Vec<bool> = stateful(&apps, &[], &[under])
            .iter()
            .map(|app| app.deploying)
            .collect();
        assert_eq!(changing, [true, true, false]);
    }

    #[test]
    fn one_that_waits_is_awaited_as_long_as_fewer_than_wanted_are_up() {
        let waits = |wanted, states: &[&str]| {
            let app = app(wanted, states);
            app.may_wipe(app.instances.last().unwrap(), false)
        };
        let (up, gone) = ("TASK_RUNNING", "TASK_KILLED");
        assert_eq!(waits(2, &[up, up, gone]), Ok(Way::Wipe));
        assert_eq!(waits(2, &[up, gone, gone]), Err(Stays::Awaited));
        assert_eq!(waits(3, &[up, up, gone]), Err(Stays::Awaited));
        assert_eq!(waits(1, &[up, gone, gone]), Ok(Way::Wipe));
        assert_eq!(waits(1, &[up, gone, gone, gone]), Ok(Way::Wipe));
    }

    #[test]
    fn a_group_goes_in_the_reverse_of_its_dependencies() {
        let group = parse_group(
            br#"{"id": "/shop", "dependencies": [], "apps": [
                    {"id": "/shop/web", "instances": 1, "dependencies": ["api", "../shop/log"]}],
                "pods": [{"id": "/shop/log"}],
                "groups": [
                    {"id": "/shop/api", "dependencies": ["/shop/db"], "apps": [
                        {"id": "/shop/api/v1", "instances": 1}], "groups": []},
                    {"id": "/shop/db", "apps": [
                        {"id": "/shop/db/pg", "instances": 1, "dependencies": ["../zk"]}]},
                    {"id": "/shop/zk", "apps": [{"id": "/shop/zk/one", "instances": 1}]},
                    {"id": "/shop/apis", "apps": [{"id": "/shop/apis/x", "instances": 1}]}]}"#,
        )
        .unwrap();
        let order = order(&group).unwrap();
        let at = |id: &str| order.iter().position(|one| one == id).unwrap();
        assert_eq!(order.len(), 6);
        for (first, then) in [
            ("/shop/web", "/shop/api/v1"),
            ("/shop/web", "/shop/log"),
            ("/shop/api/v1", "/shop/db/pg"),
            ("/shop/db/pg", "/shop/zk/one"),
        ] {
            assert!(at(first) < at(then), "{order:?}");
        }
        let circle = parse_group(
            br#"{"id": "/c", "apps": [
                {"id": "/c/a", "instances": 1, "dependencies": ["/c/b"]},
                {"id": "/c/b", "instances": 1, "dependencies": ["/c/a"]}]}"#,
        )
        .unwrap();
        super::order(&circle).unwrap_err();
    }
}
