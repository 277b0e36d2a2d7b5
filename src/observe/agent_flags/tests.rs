#![expect(clippy::disallowed_methods, reason = "tests make their own files")]

use super::*;

struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn at(&self, name: &str) -> Raw {
        Raw::from(self.folder.path()).join(name)
    }

    fn file(&self, name: &str, text: &str) -> &Self {
        let path = self.at(name);
        std::fs::create_dir_all(path.as_path().parent().unwrap()).unwrap();
        std::fs::write(path.as_path(), text).unwrap();
        self
    }

    fn flags(&self) -> AgentFlags {
        self.flags_with(&[])
    }

    fn flags_with(&self, environment: &[(&str, &str)]) -> AgentFlags {
        let places = Places {
            flag_folders: vec![self.at("etc/mesos-agent"), self.at("etc/mesos-slave")],
            environment_files: vec![self.at("default/mesos"), self.at("default/mesos-slave")],
            units: vec![self.at("units")],
            ..Places::default()
        };
        observe(&Sources {
            places: &places,
            work_dir: &Raw::from("/var/lib/mesos"),
            processes: &Known::Known(Vec::new()),
            question: None,
            environment: (!environment.is_empty()).then(|| {
                environment
                    .iter()
                    .map(|(name, value)| (Raw::from(*name), Raw::from(*value)))
                    .collect()
            }),
        })
    }
}

fn text(flags: &AgentFlags) -> Option<&str> {
    Some(flags.resources.known()?.text.as_str())
}

#[test]
fn without_any_source_everything_is_unknown() {
    let flags = Host::new().flags();
    assert_eq!(flags.source, FlagSource::Nowhere);
    assert!(flags.resources.why().is_some());
    assert!(flags.hostname.why().is_some());
    assert!(flags.policy.why().is_some());
}

#[test]
fn one_file_a_flag_is_read() {
    let host = Host::new();
    host.file("resources.json", "[]\n")
        .file("etc/mesos-agent/resources", "file://")
        .file("etc/mesos-agent/hostname", "node-1\n\n")
        .file("etc/mesos-agent/port", "5052\n")
        .file("etc/mesos-agent/reconfiguration_policy", "additive\n")
        .file("etc/mesos-agent/?no-strict", "")
        .file("etc/mesos-agent/attributes/rack", "r1\n")
        .file("etc/mesos-agent/attributes/zone", "a\n");
    host.file(
        "etc/mesos-agent/resources",
        &format!("file://{}\n", host.at("resources.json")),
    );
    let flags = host.flags();
    assert_eq!(
        flags.resources,
        Known::Known(FlagText {
            text: "[]\n".to_owned(),
            from: host.at("resources.json").to_string(),
        })
    );
    assert_eq!(flags.hostname, Known::Known(Raw::from("node-1")));
    assert_eq!(flags.port, Known::Known(5052));
    assert_eq!(flags.policy, Known::Known(ReconfigurationPolicy::Additive));
    assert_eq!(flags.strict, Known::Known(false));
    assert_eq!(flags.attributes, Known::Known("rack:r1;zone:a".to_owned()));
    // What is not there may stand in the unit.
    assert!(flags.domain.why().is_some());
}

#[test]
fn a_file_that_is_not_there_is_unknown_and_told() {
    let host = Host::new();
    host.file("etc/mesos-slave/resources", "file:///no/where");
    let flags = host.flags();
    let why = flags.resources.why().unwrap().to_string();
    assert_eq!(
        why,
        "/no/where, which --resources names, is not there; the agent can't start without it"
    );
}

#[test]
fn what_is_said_in_two_ways_is_unknown() {
    let host = Host::new();
    host.file("etc/mesos-agent/resources", "cpus:1")
        .file("etc/mesos-slave/resources", "cpus:2")
        .file("etc/mesos-agent/hostname", "a")
        .file("etc/mesos-slave/hostname", "a\n");
    let flags = host.flags();
    assert!(flags.resources.why().unwrap().0.contains("two ways"));
    assert_eq!(flags.hostname, Known::Known(Raw::from("a")));
}

#[test]
fn environments_are_read_and_flags_win() {
    let host = Host::new();
    host.file(
        "default/mesos",
        "MESOS_RESOURCES='cpus:1'\nMESOS_HOSTNAME=a\n",
    )
    .file(
        "default/mesos-slave",
        "MESOS_HOSTNAME=b\nMESOS_PORT=$PORT\n",
    );
    let own = [
        ("MESOS_ATTRIBUTES", "rack:r1"),
        ("mesos_default_role", "prod"),
        ("MESOS_HOSTNAME", "c"),
        ("MESOS_VOLUMED_OUTPUT", "json"),
    ];
    let flags = host.flags_with(&own);
    assert_eq!(text(&flags), Some("cpus:1"));
    assert_eq!(flags.hostname, Known::Known(Raw::from("b")));
    assert_eq!(flags.attributes, Known::Known("rack:r1".to_owned()));
    assert_eq!(flags.default_role, Known::Known(Role::new("prod")));
    assert!(flags.port.why().unwrap().0.contains("only a shell"));
    host.file("etc/mesos-agent/hostname", "d");
    assert_eq!(host.flags().hostname, Known::Known(Raw::from("d")));
    let FlagSource::Files(files) = host.flags().source else {
        panic!()
    };
    assert_eq!(files.len(), 3);
}

const UNIT: &str = "units/mesos-agent.service";

#[test]
fn a_unit_that_starts_the_agent_itself_tells_all() {
    let host = Host::new();
    host.file("etc/mesos-agent/resources", "left over")
        .file("default/mesos", "MESOS_HOSTNAME=left-over\n")
        .file("ours.env", "MESOS_RESOURCES='cpus:1'\nMESOS_PORT=1\n");
    let unit = |more: &str| {
        let text = format!(
            "[Service]\nEnvironment=MESOS_PORT=2 'MESOS_ATTRIBUTES=a:b c'\nEnvironmentFile={}\n\
             ExecStart=/usr/sbin/mesos-agent --work_dir=/var/lib/mesos --hostname=h \\\n  {more}\n",
            host.at("ours.env")
        );
        host.file(UNIT, &text);
        host.flags()
    };
    let flags = unit("");
    assert_eq!(flags.source, FlagSource::Unit(host.at(UNIT)));
    assert!(flags.source.is_sure());
    assert_eq!(text(&flags), Some("cpus:1"));
    assert_eq!(flags.hostname, Known::Known(Raw::from("h")));
    assert_eq!(flags.port, Known::Known(1));
    assert_eq!(flags.attributes, Known::Known("a:b c".to_owned()));
    assert_eq!(flags.policy, Known::Absent);
    // An argument wins, and so does what a drop-in says last.
    assert_eq!(text(&unit("'--resources=cpus:2'")), Some("cpus:2"));
    host.file(
        "units/mesos-agent.service.d/a.conf",
        "[Service]\nExecStart=\nExecStart=/x/mesos-slave --resources=cpus:3 --no-strict\n",
    );
    let flags = unit("");
    assert_eq!(text(&flags), Some("cpus:3"));
    assert_eq!(flags.hostname, Known::Absent);
    assert_eq!(flags.strict, Known::Known(false));
    // In the unit our environment is the agent's.
    let flags = host.flags_with(&[("MESOS_PORT", "7")]);
    assert_eq!(flags.port, Known::Known(7));
    assert_eq!(text(&flags), Some("cpus:3"));
}

#[test]
fn what_only_systemd_can_work_out_is_unknown() {
    let host = Host::new();
    let unit = |command: &str| {
        host.file(UNIT, &format!("[Service]\nExecStart={command}\n"));
        host.flags()
    };
    let flags = unit("/x/mesos-agent --resources=${R} --hostname=h");
    let why = flags.resources.why().unwrap().to_string();
    assert!(why.contains("only systemd"), "{why}");
    assert_eq!(flags.hostname, Known::Known(Raw::from("h")));
    assert_eq!(flags.policy, Known::Absent);
    let flags = unit("/x/mesos-agent --hostname=h $MORE");
    assert!(flags.resources.why().is_some());
    assert!(flags.policy.why().is_some());
    let flags = unit("/x/mesos-agent --resources=cpus:1 --resources=cpus:2");
    assert!(flags.resources.why().unwrap().0.contains("two ways"));
    host.file(
        UNIT,
        "[Service]\nEnvironmentFile=/no/where\nExecStart=/x/mesos-agent\n",
    );
    let why = host.flags().resources.why().unwrap().to_string();
    assert!(why.contains("/no/where, which"), "{why}");
    let flags = unit("/x/mesos-agent --work_dir=/srv/other --resources=cpus:1");
    assert!(flags.resources.why().unwrap().0.contains("/srv/other"));
}

#[test]
fn the_packages_files_are_sure_only_where_their_starter_starts_the_agent() {
    let host = Host::new();
    host.file("etc/mesos-agent/resources", "cpus:1");
    let unit = |command: &str| {
        host.file(UNIT, &format!("[Service]\nExecStart={command}\n"));
        let flags = host.flags();
        assert_eq!(text(&flags), Some("cpus:1"), "{command}");
        flags.source.is_sure()
    };
    assert!(!host.flags().source.is_sure());
    assert!(unit("/usr/bin/mesos-init-wrapper agent"));
    assert!(!unit("/opt/start-agent"));
    assert!(!unit("$PROGRAM"));
    assert!(!unit("|/x/mesos-agent --resources=cpus:2"));
    host.file("units/mesos-slave.service", "[Service]\nExecStart=/x/y\n");
    assert!(!unit("/usr/bin/mesos-init-wrapper agent"));
}

#[test]
fn files_of_another_agent_are_left_alone() {
    let host = Host::new();
    host.file("etc/mesos-agent/work_dir", "/srv/other\n")
        .file("etc/mesos-agent/resources", "cpus:1");
    let flags = host.flags();
    assert!(flags.resources.why().unwrap().0.contains("/srv/other"));
    host.file("etc/mesos-agent/work_dir", "/var/lib/mesos/\n");
    assert_eq!(text(&host.flags()), Some("cpus:1"));
}

#[test]
fn a_running_agent_s_own_flags_count() {
    let host = Host::new();
    host.file("etc/mesos-agent/resources", "cpus:1");
    let me = std::process::id();
    let agent = |pid: u32| AgentProcess {
        pid: i32::try_from(pid).unwrap(),
        work_dir: Known::Known(Raw::from("/var/lib/mesos")),
        ours: true,
        roots: Known::Absent,
        filesystems: Known::Absent,
    };
    let places = Places {
        flag_folders: vec![host.at("etc/mesos-agent")],
        ..Places::default()
    };
    let of = |processes| {
        observe(&Sources {
            places: &places,
            work_dir: &Raw::from("/var/lib/mesos"),
            processes: &Known::Known(processes),
            question: None,
            environment: None,
        })
    };
    // This test program has no such flag: an agent would detect everything.
    let flags = of(vec![agent(me)]);
    assert_eq!(
        flags.source,
        FlagSource::Process(i32::try_from(me).unwrap())
    );
    assert_eq!(flags.resources, Known::Absent);
    let here = std::env::current_dir().unwrap();
    assert_eq!(flags.directory, Known::Known(Raw::from(here)));
    assert!(of(vec![agent(me), agent(me)]).resources.why().is_some());
}
