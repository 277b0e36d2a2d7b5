//! Settings: validated, typed, and everything that the rest of the program sees of the
//! configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::fragments::{DiskFragment, Fragment, Values};
use super::inputs::{Inputs, read};
use super::keys::{self as k, Key, ResourcesFormat, SocketWriters, WipeRate};
use super::{Problem, keys};
use crate::decide::facts::{
    DiscoveryRules, DiskRule, DiskRules, OrphanPolicy, PidNamespace, Policy, ReconfigurationPolicy,
    RootRule, SizeRule, TrashPolicy, WipeMethod, WipeMode,
};
use crate::units::{Bytes, Raw, Span};

/// The configuration in force. Keys without an effect in this version are checked, and are not
/// here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `[agent]`.
    pub agent: AgentSettings,
    /// `[root]`.
    pub root: RootRule,
    /// `[[disks]]`, first match wins.
    pub disks: Vec<DiskRule>,
    /// `[discovery]`.
    pub discovery: DiscoveryRules,
    /// `[resources]`.
    pub resources: ResourcesSettings,
    /// `[sweep]`.
    pub sweep: SweepSettings,
    /// `[volumes]`.
    pub volumes: VolumesSettings,
    /// `[trash]`.
    pub trash: TrashSettings,
    /// `[wipe]`.
    pub wipe: WipeSettings,
    /// `[daemon]`.
    pub daemon: DaemonSettings,
    /// `[master]`.
    pub master: MasterSettings,
    /// `[marathon]`.
    pub marathon: MarathonSettings,
    /// `[fleet]`.
    pub fleet: FleetSettings,
}

/// The files that say as whom a server is asked, and how it is known; see
/// [`super::credentials::AccessSecrets::read`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessFiles {
    /// `credentials_file`: principal and secret.
    pub credentials: Option<PathBuf>,
    /// `token_file`: a bearer token.
    pub token: Option<PathBuf>,
    /// `ca_file`: certificates of those that sign the server's.
    pub authorities: Option<PathBuf>,
    /// `cert_file`: our own certificate.
    pub certificate: Option<PathBuf>,
    /// `key_file`: its key.
    pub key: Option<PathBuf>,
}

/// `[master]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterSettings {
    /// The masters, without a slash at the end; one of them leads.
    pub urls: Vec<String>,
    /// As whom they are asked.
    pub access: AccessFiles,
    /// The principal of reservations and volumes that are made; `None`: that of the credentials.
    pub principal: Option<Raw>,
    /// How long the agent's own checkpoint is waited for after a call.
    pub confirm: Span,
    /// Whether a MOUNT disk is reserved while its destroyed data is wiped and the agent runs.
    pub barrier: bool,
    /// The longest `failover_timeout` of a framework that a master may have forgotten.
    pub longest_failover: Span,
}

/// `[marathon]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarathonSettings {
    /// Where it answers, without a slash at the end; `None`: there is none to ask.
    pub url: Option<String>,
    /// As whom it is asked.
    pub access: AccessFiles,
}

/// `[fleet]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetSettings {
    /// Where the daemon of a host answers, with `{host}` for its name.
    pub url: String,
    /// How many are asked at once.
    pub at_once: u32,
    /// How long one may take for an answer.
    pub timeout: Span,
    /// As whom they are asked.
    pub access: AccessFiles,
}

/// `[agent]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSettings {
    /// The agent's `--work_dir`: absolute, without a slash at its end.
    pub work_dir: Raw,
    /// Where the agent answers, without a slash at its end; `None`: no agent to ask.
    pub url: Option<String>,
    /// As whom it is asked.
    pub access: AccessFiles,
    /// Whatever starts the agent obeys the gate.
    pub start_gate: bool,
    /// Where agent and tasks live.
    pub pid_namespace: PidNamespace,
    /// An agent that is down refuses destructive steps.
    pub require: bool,
}

/// `[resources]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourcesSettings {
    /// Resources other than disks, as the agent's `--resources` takes them; empty for none.
    pub extra: String,
    /// The file that `resources --write` and `--check` mean when they name none; without one, see
    /// [`Settings::resources_file`].
    pub write_to: Option<PathBuf>,
    /// The form of that file.
    pub format: ResourcesFormat,
    /// The agent's `--reconfiguration_policy`, where its flags do not tell.
    pub policy: ReconfigurationPolicy,
}

/// `[sweep]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepSettings {
    /// Time between two passes of the daemon, a second at least.
    pub every: Span,
    /// How long the daemon waits after a change of the checkpoint before it looks.
    pub settle: Span,
    /// Lived time between the sightings of an orphan.
    pub grace: Span,
    /// What becomes of an orphan past its grace.
    pub orphans: OrphanPolicy,
    /// Globs on `role/persistence-id`.
    pub protect: Vec<String>,
    /// Share of all volumes, in percent; 100 turns the brake off.
    pub brake_percent: u8,
    /// So many unwitnessed steps in 24 hours never trip the brake.
    pub brake_min: u32,
}

/// `[volumes]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumesSettings {
    /// Whether a sweep makes a vanished directory again.
    pub recreate_vanished: bool,
}

/// `[trash]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrashSettings {
    /// How long a witnessed destroy stays.
    pub retention: Span,
    /// How long an orphan stays.
    pub orphan_retention: Span,
    /// Other roles, and when things leave early.
    pub policy: TrashPolicy,
}

/// `[wipe]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WipeSettings {
    /// Removals per second on one disk.
    pub rate: WipeRate,
    /// The share of time in which tasks wait for I/O, in percent, above which a wipe slows down.
    pub pressure_limit: u8,
    /// Threads for one tree, where there is no pacing and several are a gain.
    pub threads: u32,
    /// How data is destroyed.
    pub method: WipeMethod,
    /// The mode of MOUNT disks, where it is another.
    pub mount_mode: Option<WipeMode>,
}

/// `[daemon]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonSettings {
    /// Where memory, ledger, gate, lock and audit live.
    pub state_dir: PathBuf,
    /// A file of the audit log of this size is closed.
    pub audit_file_size: Bytes,
    /// Closed files of the audit log older than this go, by lived time.
    pub audit_keep: Span,
    /// The API's socket; `None`: none.
    pub socket: Option<PathBuf>,
    /// The group that may open it; empty for root alone.
    pub socket_group: String,
    /// Who may change something through it.
    pub socket_writers: SocketWriters,
    /// Where metrics are written for node_exporter; `None`: nowhere.
    pub textfile: Option<PathBuf>,
    /// Where metrics and health are told over TCP; `None`: nowhere.
    pub listen: Option<SocketAddr>,
}

impl Settings {
    /// What decisions about volumes need.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            sweep_every: self.sweep.every,
            grace: self.sweep.grace,
            orphans: self.sweep.orphans,
            protect: self.sweep.protect.clone(),
            brake_percent: self.sweep.brake_percent,
            brake_min: self.sweep.brake_min,
            recreate_vanished: self.volumes.recreate_vanished,
            retention: self.trash.retention,
            orphan_retention: self.trash.orphan_retention,
            require_agent: self.agent.require,
            start_gate: self.agent.start_gate,
            pid_namespace: self.agent.pid_namespace,
            barrier: self.master.barrier,
            wipe: self.wipe.method,
            mount_mode: self.wipe.mount_mode,
            trash: self.trash.policy.clone(),
        }
    }

    /// The file of this form where `resources.write_to` names none: where the layout has it, or in
    /// `state_dir`. A flag has none.
    #[must_use]
    pub fn resources_file(&self, form: ResourcesFormat) -> Option<PathBuf> {
        if self.resources.write_to.is_some() && form == self.resources.format {
            return self.resources.write_to.clone();
        }
        match form {
            ResourcesFormat::Json => Some(self.daemon.state_dir.join("resources.json")),
            ResourcesFormat::Env => Some(self.daemon.state_dir.join("resources.env")),
            ResourcesFormat::Flag => None,
            ResourcesFormat::Mesosphere => Some("/etc/mesos-slave/resources".into()),
            ResourcesFormat::Clusterd => Some("/etc/mesos-agent/resources".into()),
            ResourcesFormat::Dcos => Some("/var/lib/dcos/mesos-resources".into()),
        }
    }

    /// What discovery needs.
    #[must_use]
    pub fn disk_rules(&self) -> DiskRules {
        DiskRules {
            work_dir: self.agent.work_dir.clone(),
            root: self.root.clone(),
            disks: self.disks.clone(),
            discovery: self.discovery.clone(),
        }
    }
}

/// The values that break their key's rule.
pub(super) fn wrong_values(fragment: &Fragment) -> Vec<Problem> {
    fragment
        .given()
        .filter_map(|(name, given)| {
            let source = keys::find(name)?.check(&given.value).err()?;
            Some(Problem::Value {
                key: name,
                place: Some(given.place.clone()),
                source,
            })
        })
        .collect()
}

/// Validates values against one another, and gives them their types.
pub(super) fn settle(inputs: &Inputs) -> Result<Settings, Vec<Problem>> {
    let rules = inputs.disk_rules();
    let mut problems: Vec<Problem> = rules.iter().flat_map(rule_problems).collect();
    problems.extend(both_sizes(&inputs.values, &k::ROOT_SIZE, &k::ROOT_RESERVE));
    if !problems.is_empty() {
        return Err(problems);
    }
    let settings = build(inputs, &rules).map_err(|problem| vec![problem])?;
    match state_dir_problem(&settings, inputs) {
        None => Ok(settings),
        Some(problem) => Err(vec![problem]),
    }
}

fn both_sizes(values: &Values, size: &Key<Option<Bytes>>, reserve: &Key<Bytes>) -> Option<Problem> {
    use keys::AnyKey as _;
    let given = values.get(size.name())?;
    let other = values.get(reserve.name())?;
    (given.value.as_str() != Some("")).then(|| Problem::Exclusive {
        key: size.name(),
        place: given.place.clone(),
        other: reserve.name(),
        other_place: other.place.clone(),
    })
}

fn rule_problems(rule: &DiskFragment) -> Vec<Problem> {
    let mut problems = Vec::new();
    let has = |name| rule.values.contains_key(name);
    let incomplete = |lacks| Problem::IncompleteRule {
        lacks,
        place: rule.place.clone(),
    };
    if !has("disks.type") {
        problems.push(incomplete(
            "a type; write type = \"PATH\" or type = \"MOUNT\"",
        ));
    }
    let chooses = [
        "disks.paths",
        "disks.labels",
        "disks.models",
        "disks.devices",
    ]
    .iter()
    .filter_map(|name| rule.values.get(name))
    .any(|given| given.value.as_array().is_none_or(|array| !array.is_empty()));
    if !chooses {
        problems.push(incomplete(
            "anything that chooses disks; write paths, labels, models or devices",
        ));
    }
    problems.extend(both_sizes(&rule.values, &k::DISK_SIZE, &k::DISK_RESERVE));
    problems
}

/// Our own files must not lie where the agent keeps its own, nor where we sweep.
fn state_dir_problem(settings: &Settings, inputs: &Inputs) -> Option<Problem> {
    use keys::AnyKey as _;
    let state_dir = Raw::from(settings.daemon.state_dir.as_path());
    let work_dir = &settings.agent.work_dir;
    let inside = ["meta", "volumes", "slaves", "provisioner"]
        .iter()
        .any(|folder| state_dir.below(&work_dir.join(folder)).is_some());
    (inside || state_dir == *work_dir).then(|| Problem::StateDir {
        key: k::DAEMON_STATE_DIR.name(),
        place: inputs
            .values
            .get(k::DAEMON_STATE_DIR.name())
            .map(|given| given.place.clone()),
        work_dir: work_dir.clone(),
    })
}

fn size_rule(size: Option<Bytes>, reserve: Bytes) -> SizeRule {
    size.map_or(SizeRule::Reserve(reserve), SizeRule::Size)
}

fn trash(v: &Values) -> Result<TrashSettings, Problem> {
    Ok(TrashSettings {
        retention: read(&k::TRASH_RETENTION, v)?,
        orphan_retention: read(&k::TRASH_ORPHAN_RETENTION, v)?,
        policy: TrashPolicy {
            min_retention: read(&k::TRASH_MIN_RETENTION, v)?,
            max_bytes: read(&k::TRASH_MAX_BYTES, v)?,
            free_below: read(&k::TRASH_FREE_BELOW, v)?,
            roles: read(&k::TRASH_ROLES, v)?,
        },
    })
}

fn build(inputs: &Inputs, rules: &[DiskFragment]) -> Result<Settings, Problem> {
    let v = &inputs.values;
    Ok(Settings {
        agent: AgentSettings {
            work_dir: read(&k::AGENT_WORK_DIR, v)?,
            url: read(&k::AGENT_URL, v)?,
            access: AccessFiles {
                credentials: read(&k::AGENT_CREDENTIALS_FILE, v)?,
                token: read(&k::AGENT_TOKEN_FILE, v)?,
                authorities: read(&k::AGENT_CA_FILE, v)?,
                certificate: read(&k::AGENT_CERT_FILE, v)?,
                key: read(&k::AGENT_KEY_FILE, v)?,
            },
            start_gate: read(&k::AGENT_START_GATE, v)?,
            pid_namespace: read(&k::AGENT_PID_NAMESPACE, v)?,
            require: read(&k::AGENT_REQUIRE, v)?,
        },
        root: RootRule {
            advertise: read(&k::ROOT_ADVERTISE, v)?,
            size: size_rule(read(&k::ROOT_SIZE, v)?, read(&k::ROOT_RESERVE, v)?),
            role: read(&k::ROOT_ROLE, v)?,
        },
        disks: rules
            .iter()
            .map(|rule| disk_rule(&rule.values))
            .collect::<Result<_, _>>()?,
        discovery: DiscoveryRules {
            settle: read(&k::DISCOVERY_SETTLE, v)?,
            min_size: read(&k::DISCOVERY_MIN_SIZE, v)?,
            filesystems: read(&k::DISCOVERY_FILESYSTEMS, v)?,
            exclude: read(&k::DISCOVERY_EXCLUDE, v)?,
        },
        resources: ResourcesSettings {
            extra: read(&k::RESOURCES_EXTRA, v)?,
            write_to: read(&k::RESOURCES_WRITE_TO, v)?,
            format: read(&k::RESOURCES_FORMAT, v)?,
            policy: read(&k::RESOURCES_POLICY, v)?,
        },
        sweep: SweepSettings {
            every: read(&k::SWEEP_EVERY, v)?,
            settle: read(&k::SWEEP_SETTLE, v)?,
            grace: read(&k::SWEEP_GRACE, v)?,
            orphans: read(&k::SWEEP_ORPHANS, v)?,
            protect: read(&k::SWEEP_PROTECT, v)?,
            brake_percent: read(&k::SWEEP_BRAKE_PERCENT, v)?,
            brake_min: read(&k::SWEEP_BRAKE_MIN, v)?,
        },
        volumes: VolumesSettings {
            recreate_vanished: read(&k::VOLUMES_RECREATE_VANISHED, v)?,
        },
        trash: trash(v)?,
        wipe: WipeSettings {
            rate: read(&k::WIPE_RATE, v)?,
            pressure_limit: read(&k::WIPE_PRESSURE_LIMIT, v)?,
            threads: read(&k::WIPE_THREADS, v)?,
            method: WipeMethod {
                mode: read(&k::WIPE_MODE, v)?,
                strict: read(&k::WIPE_STRICT, v)?,
                passes: read(&k::WIPE_PASSES, v)?,
                verify: read(&k::WIPE_VERIFY, v)?,
            },
            mount_mode: read(&k::WIPE_MOUNT_MODE, v)?,
        },
        daemon: DaemonSettings {
            socket: read(&k::DAEMON_SOCKET, v)?,
            socket_group: read(&k::DAEMON_SOCKET_GROUP, v)?,
            socket_writers: read(&k::DAEMON_SOCKET_WRITERS, v)?,
            textfile: read(&k::DAEMON_TEXTFILE, v)?,
            listen: read(&k::DAEMON_LISTEN, v)?,
            state_dir: Path::new(read(&k::DAEMON_STATE_DIR, v)?.as_os_str()).to_path_buf(),
            audit_file_size: read(&k::DAEMON_AUDIT_FILE_SIZE, v)?,
            audit_keep: read(&k::DAEMON_AUDIT_KEEP, v)?,
        },
        master: master(v)?,
        marathon: marathon(v)?,
        fleet: fleet(v)?,
    })
}

fn master(v: &Values) -> Result<MasterSettings, Problem> {
    Ok(MasterSettings {
        urls: read(&k::MASTER_URLS, v)?,
        access: AccessFiles {
            credentials: read(&k::MASTER_CREDENTIALS_FILE, v)?,
            token: read(&k::MASTER_TOKEN_FILE, v)?,
            authorities: read(&k::MASTER_CA_FILE, v)?,
            certificate: read(&k::MASTER_CERT_FILE, v)?,
            key: read(&k::MASTER_KEY_FILE, v)?,
        },
        principal: read(&k::MASTER_PRINCIPAL, v)?,
        confirm: read(&k::MASTER_CONFIRM, v)?,
        barrier: read(&k::MASTER_BARRIER, v)?,
        longest_failover: read(&k::MASTER_LONGEST_FAILOVER, v)?,
    })
}

fn marathon(v: &Values) -> Result<MarathonSettings, Problem> {
    Ok(MarathonSettings {
        url: read(&k::MARATHON_URL, v)?,
        access: AccessFiles {
            credentials: read(&k::MARATHON_CREDENTIALS_FILE, v)?,
            token: read(&k::MARATHON_TOKEN_FILE, v)?,
            authorities: read(&k::MARATHON_CA_FILE, v)?,
            certificate: read(&k::MARATHON_CERT_FILE, v)?,
            key: read(&k::MARATHON_KEY_FILE, v)?,
        },
    })
}

fn fleet(v: &Values) -> Result<FleetSettings, Problem> {
    Ok(FleetSettings {
        url: read(&k::FLEET_URL, v)?,
        at_once: read(&k::FLEET_AT_ONCE, v)?,
        timeout: read(&k::FLEET_TIMEOUT, v)?,
        access: AccessFiles {
            credentials: read(&k::FLEET_CREDENTIALS_FILE, v)?,
            token: read(&k::FLEET_TOKEN_FILE, v)?,
            authorities: read(&k::FLEET_CA_FILE, v)?,
            certificate: read(&k::FLEET_CERT_FILE, v)?,
            key: read(&k::FLEET_KEY_FILE, v)?,
        },
    })
}

fn disk_rule(v: &Values) -> Result<DiskRule, Problem> {
    Ok(DiskRule {
        kind: read(&k::DISK_TYPE, v)?,
        paths: read(&k::DISK_PATHS, v)?,
        labels: read(&k::DISK_LABELS, v)?,
        models: read(&k::DISK_MODELS, v)?,
        devices: read(&k::DISK_DEVICES, v)?,
        size: size_rule(read(&k::DISK_SIZE, v)?, read(&k::DISK_RESERVE, v)?),
        role: read(&k::DISK_ROLE, v)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fragments::parse;
    use super::super::inputs::merge;
    use super::*;
    use crate::decide::facts::{DiskType, Role};

    fn settings(text: &str) -> Result<Settings, Vec<String>> {
        let (fragment, problems) = parse(Path::new("/c.toml"), text);
        assert!(problems.is_empty(), "{problems:?}");
        let wrong = wrong_values(&fragment);
        let settled = if wrong.is_empty() {
            settle(&merge([fragment]))
        } else {
            Err(wrong)
        };
        settled.map_err(|mut problems| {
            problems.sort_by(|a, b| a.place().cmp(&b.place()));
            super::super::ConfigError { problems }
                .to_string()
                .lines()
                .map(str::to_owned)
                .collect()
        })
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let settings = settings("").unwrap();
        assert_eq!(
            settings.policy(),
            Policy {
                sweep_every: Span::seconds(300),
                grace: Span::seconds(86_400),
                orphans: OrphanPolicy::Report,
                protect: Vec::new(),
                brake_percent: 10,
                brake_min: 5,
                recreate_vanished: false,
                retention: Span::ZERO,
                orphan_retention: Span::seconds(7 * 86_400),
                require_agent: false,
                start_gate: false,
                pid_namespace: PidNamespace::Host,
                barrier: true,
                wipe: WipeMethod::UNLINK,
                mount_mode: None,
                trash: TrashPolicy::default(),
            }
        );
        assert_eq!(settings.sweep.settle, Span::seconds(1));
        let rules = settings.disk_rules();
        assert_eq!(rules.work_dir, Raw::from("/var/lib/mesos"));
        assert_eq!(rules.root.size, SizeRule::Reserve(Bytes(5 << 30)));
        let [rule] = rules.disks.as_slice() else {
            panic!("{:?}", rules.disks);
        };
        assert_eq!(rule.kind, DiskType::Mount);
        assert_eq!(rule.paths, ["/dcos/volume*"]);
        assert_eq!(rule.size, SizeRule::Reserve(Bytes(100 << 20)));
        assert_eq!(rule.role, Role::new("*"));
        assert_eq!(
            settings.daemon.state_dir,
            Path::new("/var/lib/mesos-volumed")
        );
    }

    #[test]
    fn values_reach_the_rules_of_discovery() {
        let settings = settings(
            "[agent]\nwork_dir = \"/srv/mesos/\"\n[root]\nsize = \"2GiB\"\n\
             [[disks]]\ntype = \"PATH\"\nlabels = [\"data*\"]\nsize = \"1GiB\"\nrole = \"eng/dev\"\n\
             [wipe]\nrate = 0\n",
        )
        .unwrap();
        let rules = settings.disk_rules();
        assert_eq!(rules.work_dir, Raw::from("/srv/mesos"));
        assert_eq!(rules.root.size, SizeRule::Size(Bytes(2 << 30)));
        assert_eq!(rules.disks[0].labels, ["data*"]);
        assert_eq!(rules.disks[0].size, SizeRule::Size(Bytes(1 << 30)));
        assert_eq!(rules.disks[0].role, Role::new("eng/dev"));
        assert_eq!(settings.wipe.rate, WipeRate::Unpaced);
    }

    #[test]
    fn every_bad_value_is_named_with_line_and_remedy() {
        let problems = settings(
            "[agent]\nwork_dir = \"mesos\"\n[sweep]\ngrace = 7\norphans = \"delete\"\n\
             [wipe]\nmode = \"reformat\"\n[trash]\nmax_bytes = \"5\"\n",
        )
        .unwrap_err();
        assert_eq!(
            problems,
            [
                "agent.work_dir in /c.toml line 2: `mesos` is not absolute; write the whole path, from / on",
                "sweep.grace in /c.toml line 4: this is a whole number; the key takes a span of time with its unit in quotes, such as \"30s\"",
                "sweep.orphans in /c.toml line 5: `delete` is none of \"report\", \"quarantine\", \"wipe\"; write one of these",
                "wipe.mode in /c.toml line 7: `reformat` is none of \"unlink\", \"discard\", \"overwrite\"; write one of these",
                "trash.max_bytes in /c.toml line 9: `5` is not a size: the unit is missing; write for example \"512MiB\" or \"5GiB\"",
            ]
        );
    }

    #[test]
    fn a_rule_for_disks_must_say_which_and_as_what() {
        let problems = settings("[[disks]]\n[[disks]]\ntype = \"PATH\"\npaths = []\n").unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("line 1 lacks a type"), "{problems:?}");
        assert!(
            problems[1].contains("line 1 lacks anything that chooses"),
            "{problems:?}"
        );
        assert!(
            problems[2].contains("line 2 lacks anything that chooses"),
            "{problems:?}"
        );
    }

    #[test]
    fn size_and_reserve_exclude_each_other_unless_size_is_empty() {
        let rule = |size: &str| format!("[root]\nreserve = \"1GiB\"\nsize = \"{size}\"\n");
        assert_eq!(
            settings(&rule("2GiB")).unwrap_err(),
            [
                "root.size in /c.toml line 3 and root.reserve in /c.toml line 2 exclude each other; remove one of them"
            ]
        );
        assert_eq!(
            settings(&rule("")).unwrap().root.size,
            SizeRule::Reserve(Bytes(1 << 30))
        );
        let disks =
            "[[disks]]\ntype = \"PATH\"\npaths = [\"/a\"]\nreserve = \"1GiB\"\nsize = \"2GiB\"\n";
        assert!(settings(disks).unwrap_err()[0].contains("exclude each other"));
    }

    #[test]
    fn our_own_files_must_not_lie_among_the_agents() {
        for (state_dir, good) in [
            ("/var/lib/mesos", false),
            ("/var/lib/mesos/meta/volumed", false),
            ("/var/lib/mesos/volumes/roles", false),
            ("/var/lib/mesos/volumed", true),
            ("/var/lib/mesos-volumed", true),
        ] {
            let result = settings(&format!("[daemon]\nstate_dir = \"{state_dir}\"\n"));
            assert_eq!(result.is_ok(), good, "{state_dir}: {result:?}");
        }
    }
}
