//! The commands: exit codes, JSON, the gate.
#![expect(
    clippy::disallowed_methods,
    reason = "tests make their own files and start the program"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mesos_volumed::mesos::checkpoint::{OperationContext, encode_slave_info, encode_state};
use mesos_volumed::mesos::disk::{DiskSource, SourceType};
use mesos_volumed::mesos::ids::{PersistenceId, Role};
use mesos_volumed::mesos::resource::{Persistence, Reservation, ReservationType, Resource, Value};
use mesos_volumed::mesos::state::{
    Operation, OperationKind, OperationState, ResourceState, SlaveInfo,
};
use mesos_volumed::units::{Megabytes, Raw};
use rustix::fs::{IFlags, ioctl_setflags};

use crate::own_namespace::entered;

const ID: &str = "5e0d5a6e-0000-0000-0000-000000000000-S0";

/// A host in a folder: a work_dir with an agent that registered with ROOT and one PATH.
struct Host {
    folder: tempfile::TempDir,
}

struct Run {
    code: i32,
    out: String,
    err: String,
}

fn scalar(name: &str, megabytes: u64, source: Option<DiskSource>) -> Resource {
    Resource {
        name: Raw::from(name),
        value: Value::Scalar(Megabytes::whole(megabytes)),
        reservations: Vec::new(),
        source,
        persistence: None,
        shared: false,
        provider_id: None,
    }
}

impl Host {
    fn new() -> Self {
        let host = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir_all(host.at("work/meta/slaves").join(ID)).unwrap();
        fs::create_dir_all(host.at("work/meta/resources")).unwrap();
        fs::create_dir_all(host.at("path/volumes/roles/prod/v1/inner")).unwrap();
        fs::create_dir_all(host.at("state")).unwrap();
        let info = SlaveInfo {
            hostname: Raw::from("localhost"),
            port: 5051,
            resources: vec![
                scalar("cpus", 2, None),
                scalar("mem", 64, None),
                Resource {
                    value: Value::Ranges(vec![(31000, 31100)]),
                    ..scalar("ports", 0, None)
                },
                scalar("disk", 100, None),
                scalar("disk", 50, Some(host.source())),
            ],
        };
        let bytes = encode_slave_info(&info, ID.as_bytes()).unwrap();
        fs::write(
            host.at("work/meta/slaves").join(ID).join("slave.info"),
            bytes,
        )
        .unwrap();
        symlink(
            host.at("work/meta/slaves").join(ID),
            host.at("work/meta/slaves/latest"),
        )
        .unwrap();
        let boot = fs::read("/proc/sys/kernel/random/boot_id").unwrap();
        fs::write(host.at("work/meta/boot_id"), boot).unwrap();
        host.hold(&[]);
        fs::write(
            host.at("config.toml"),
            format!(
                "[agent]\nwork_dir = {:?}\nurl = \"\"\n[daemon]\nstate_dir = {:?}\n\
                 [resources]\nwrite_to = {:?}\n",
                host.at("work"),
                host.at("state"),
                host.at("resources.json")
            ),
        )
        .unwrap();
        host.write("50");
        host
    }

    fn at(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.folder.path()).unwrap().join(name)
    }

    fn source(&self) -> DiskSource {
        DiskSource {
            kind: SourceType::Path,
            root: Some(Raw::from(self.at("path").as_path())),
            id: None,
            vendor: None,
            profile: None,
            metadata: Vec::new(),
        }
    }

    fn volume(&self) -> Resource {
        Resource {
            reservations: vec![Reservation {
                kind: ReservationType::Dynamic,
                role: Role::new("prod"),
                principal: None,
                labels: Vec::new(),
            }],
            persistence: Some(Persistence {
                id: PersistenceId::new("v1"),
                principal: None,
                container_path: Some(Raw::from("data")),
            }),
            ..scalar("disk", 10, Some(self.source()))
        }
    }

    /// The checkpoint: one volume, and these operations.
    fn hold(&self, operations: &[Operation]) {
        let state = ResourceState {
            operations: operations.to_vec(),
            resources: vec![self.volume()],
        };
        let context = OperationContext {
            agent_id: ID.as_bytes(),
            status_uuid: [7; 16],
        };
        let bytes = encode_state(&state, &context).unwrap();
        let file = self.at("work/meta/resources/resources_and_operations.state");
        fs::write(file, bytes).unwrap();
    }

    fn destroy_pending(&self) {
        self.hold(&[Operation {
            uuid: "ab".repeat(16),
            kind: OperationKind::Destroy,
            state: OperationState::Pending,
            volumes: vec![self.volume()],
        }]);
    }

    fn text(&self, path: &str) -> String {
        format!(
            r#"[{{"name":"cpus","type":"SCALAR","scalar":{{"value":2}}}},
                {{"name":"mem","type":"SCALAR","scalar":{{"value":64}}}},
                {{"name":"ports","type":"RANGES","ranges":{{"range":[{{"begin":31000,"end":31100}}]}}}},
                {{"name":"disk","type":"SCALAR","scalar":{{"value":100}}}},
                {{"name":"disk","type":"SCALAR","scalar":{{"value":{path}}},
                 "disk":{{"source":{{"type":"PATH","path":{{"root":{:?}}}}}}}}}]"#,
            self.at("path")
        )
    }

    /// Our own file of resources, with this number for PATH.
    fn write(&self, path: &str) {
        fs::write(self.at("resources.json"), self.text(path)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesos-volumed"));
        command
            .args(["--config", self.at("config.toml").to_str().unwrap()])
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let output = self.command(arguments).output().unwrap();
        Run {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn json(&self, arguments: &[&str]) -> (i32, serde_json::Value) {
        let run = self.run(&[&["--output", "json"], arguments].concat());
        let value = serde_json::from_str(&run.out)
            .unwrap_or_else(|error| panic!("{error}: {}{}", run.out, run.err));
        (run.code, value)
    }
}

/// Every file below a folder, with the time of its last change.
fn everything(folder: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    walkdir::WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let metadata = fs::symlink_metadata(entry.path()).unwrap();
            (entry.path().to_owned(), metadata.modified().unwrap())
        })
        .collect()
}

#[test]
fn each_verdict_has_its_exit_code() {
    let host = Host::new();
    let (code, value) = host.json(&["preflight"]);
    assert_eq!((code, &value["verdict"]), (0, &"recovers".into()));
    assert_eq!(
        value["resources_from"],
        host.at("resources.json").to_str().unwrap()
    );

    host.write("60");
    let (code, value) = host.json(&["preflight"]);
    assert_eq!((code, &value["verdict"]), (5, &"refuses".into()));
    assert_eq!(value["check"], "policy");
    let label = format!("PATH:{}", host.at("path").display());
    assert_eq!(
        value["remedy"]["edits"],
        serde_json::json!([format!("set {label} back to 50 (now 60)")])
    );
    assert_eq!(value["remedy"]["policy"], "additive");
    assert_eq!(
        value["differences"],
        serde_json::json!([
            {"what": label, "registered": "50", "now": "60", "change": "changed"}
        ])
    );
    assert_eq!(host.json(&["preflight", "--policy", "additive"]).0, 0);
    let (code, value) = host.json(&["preflight", "--rebooted"]);
    assert_eq!((code, &value["verdict"]), (4, &"new_agent_id".into()));

    host.write("5");
    for arguments in [&["preflight"][..], &["preflight", "--rebooted"]] {
        let (code, value) = host.json(arguments);
        assert_eq!((code, &value["check"]), (5, &"fit".into()));
    }

    fs::write(
        host.at("work/meta/slaves/latest/slave.info"),
        b"\x03\0\0\0abc",
    )
    .unwrap();
    host.write("50");
    let (code, value) = host.json(&["preflight"]);
    assert_eq!((code, &value["verdict"]), (7, &"cannot_tell".into()));
}

#[test]
fn a_boot_id_that_differs_is_a_reboot() {
    let host = Host::new();
    host.write("60");
    assert_eq!(host.run(&["preflight"]).code, 5);
    fs::write(host.at("work/meta/boot_id"), "another").unwrap();
    let run = host.run(&["preflight"]);
    assert_eq!(run.code, 4, "{}{}", run.out, run.err);
    assert!(run.out.contains(", after a reboot\n"), "{}", run.out);
}

#[test]
fn any_text_can_be_judged_from_a_file_or_standard_input() {
    let host = Host::new();
    let file = host.at("other");
    fs::write(&file, host.text("60")).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(host.run(&["preflight", "--resources", file]).code, 5);
    // A line for an environment file.
    let line = format!("MESOS_RESOURCES='{}'\n", host.text("50").replace('\n', ""));
    fs::write(file, line).unwrap();
    assert_eq!(host.run(&["preflight", "--resources", file]).code, 0);
    fs::write(file, "[{]").unwrap();
    let run = host.run(&["preflight", "--resources", file]);
    assert_eq!(run.code, 5);
    assert!(
        run.out.contains(
            "  Failed to determine agent resources: Bad value for resources, missing or extra \
             ':' in [{]\nhint: the JSON has a mistake"
        ),
        "{}",
        run.out
    );
    let mut command = host.command(&["preflight", "--resources", "-"]);
    let stdin = fs::File::open(host.at("resources.json")).unwrap();
    assert_eq!(command.stdin(stdin).status().unwrap().code(), Some(0));
    let run = host.run(&["preflight", "--resources", "/no/where"]);
    assert_eq!(run.code, 1);
    assert!(run.err.contains("/no/where can't be opened"), "{}", run.err);
}

#[test]
fn a_refusal_is_told_for_people() {
    let host = Host::new();
    host.write("5");
    let run = host.run(&["preflight"]);
    assert_eq!(run.code, 5);
    let root = host.at("path");
    let root = root.display();
    let expected = [
        "the agent refuses to start (check: fit)\n".to_owned(),
        "\nthe agent would say:\n  Failed to perform recovery: Checkpointed resources ".to_owned(),
        format!(" does not contain disk[PATH:{root}]:10\n"),
        format!("\nto keep the agent:\n  set PATH:{root} back to 50 (now 5)\n"),
    ];
    for part in expected {
        assert!(run.out.contains(&part), "{part:?} in\n{}", run.out);
    }
}

#[test]
fn a_look_changes_nothing_and_makes_nothing() {
    let host = Host::new();
    host.destroy_pending();
    let text = host.text("50").replace("/path\"", "/missing/root\"");
    fs::write(host.at("resources.json"), text).unwrap();
    let before = everything(&host.at("work"));
    let volumes = everything(&host.at("path"));
    let names = |folder: &Path| -> Vec<PathBuf> {
        everything(folder).into_iter().map(|one| one.0).collect()
    };
    let all = names(&host.at(""));
    for arguments in [&["preflight"][..], &["diff"], &["preflight", "--gate"]] {
        host.run(arguments);
    }
    assert_eq!(names(&host.at("")), all);
    assert_eq!(everything(&host.at("work")), before);
    assert_eq!(everything(&host.at("path")), volumes);
}

#[test]
fn the_gate_fails_only_if_the_agent_would_refuse() {
    let host = Host::new();
    let file = host.at("resources.json");
    let named = ["preflight", "--gate", "--resources", file.to_str().unwrap()];
    let equal = [&named[..], &["--policy", "equal"]].concat();
    assert_eq!(host.run(&["preflight", "--gate"]).code, 0);
    assert_eq!(host.run(&named).code, 0);
    host.write("5");
    let run = host.run(&named);
    assert_eq!(run.code, 5);
    assert!(run.out.contains("to keep the agent:"), "{}", run.out);
    let passes = |arguments: &[&str], warning: &str| {
        let run = host.run(arguments);
        assert_eq!(run.code, 0, "{}", run.out);
        assert!(run.err.contains(warning), "{}", run.err);
    };
    // Nobody says that the agent takes our file.
    passes(
        &["preflight", "--gate"],
        "unless it is started with other flags",
    );
    // More is allowed by the other policy, which may be the agent's.
    host.write("60");
    passes(&named, "unless it has --reconfiguration_policy=additive");
    assert_eq!(host.run(&equal).code, 5);
    // In the unit the environment is the agent's own.
    let mut command = host.command(&["preflight", "--gate"]);
    command.env("MESOS_RECONFIGURATION_POLICY", "equal");
    command.env("MESOS_RESOURCES", host.text("60"));
    assert_eq!(command.status().unwrap().code(), Some(5));
    command.env("MESOS_RESOURCES", host.text("50"));
    assert_eq!(command.status().unwrap().code(), Some(0));
    // What it is not told it counts itself, and we may count wrong.
    let memory = r#"{"name":"mem","type":"SCALAR","scalar":{"value":64}},"#;
    fs::write(&file, host.text("50").replace(memory, "")).unwrap();
    assert_eq!(host.run(&["preflight", "--policy", "equal"]).code, 5);
    passes(&equal, "unless it detects the cpus, mem and disk");
    // A new id and what can't be told are no reason to keep an agent down.
    fs::write(host.at("work/meta/boot_id"), "another").unwrap();
    passes(&equal, "new agent id");
    fs::remove_file(&file).unwrap();
    passes(&["preflight", "--gate"], "can't be told, ignoring");
    // Nor is it a failure of ours.
    let (code, value) = host.json(&["preflight"]);
    assert_eq!((code, &value["verdict"]), (7, &"cannot_tell".into()));
    assert!(value["why"][0].as_str().unwrap().contains("is not there"));
    let config = fs::read_to_string(host.at("config.toml")).unwrap();
    let without = config.replace("[resources]\nwrite_to", "#");
    fs::write(host.at("config.toml"), without).unwrap();
    let run = host.run(&["preflight"]);
    assert_eq!(run.code, 7);
    assert!(
        run.out.contains("name a file with --resources"),
        "{}",
        run.out
    );
    // What `resources --write` wrote where it writes without a word counts.
    fs::create_dir_all(host.at("state")).unwrap();
    fs::write(host.at("state/resources.json"), host.text("50")).unwrap();
    assert_eq!(host.run(&["preflight", "--policy", "equal"]).code, 0);
}

/// The start that fails once has to happen: held back, it would fail for ever.
#[test]
fn the_gate_lets_a_start_through_that_fails_only_once() {
    let host = Host::new();
    let resources = host.at("work/meta/resources");
    fs::copy(
        resources.join("resources_and_operations.state"),
        resources.join("resources_and_operations.target"),
    )
    .unwrap();
    let (code, value) = host.json(&["preflight"]);
    assert_eq!(
        (code, &value["check"], &value["once"]),
        (5, &"replay".into(), &true.into())
    );
    let run = host.run(&["preflight", "--gate"]);
    assert_eq!(run.code, 0);
    assert!(run.err.contains("the next one does not"), "{}", run.err);
}

#[test]
fn a_diff_has_one_line_an_entry() {
    let host = Host::new();
    let config = host.at("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let rules = format!(
        "[root]\nsize = \"100MiB\"\n[[disks]]\ntype = \"PATH\"\npaths = [{:?}]\nsize = \"60MiB\"\n\
         [discovery]\nmin_size = \"1MiB\"\nsettle = \"0s\"\n",
        host.at("path")
    );
    let extra = text.replace(
        "[resources]\n",
        "[resources]\nextra = \"cpus:2;mem:64;ports:[31000-31100]\"\n",
    );
    // What the agent registered with stays under `equal`, whatever the rules ask for.
    fs::write(&config, format!("{extra}{rules}")).unwrap();
    let (code, value) = host.json(&["diff"]);
    assert_eq!(code, 0);
    let is_same = |entry: &serde_json::Value| entry["change"] == "same";
    assert!(
        value["entries"].as_array().unwrap().iter().all(is_same),
        "{value}"
    );
    let extra = extra.replace("[resources]\n", "[resources]\npolicy = \"additive\"\n");
    fs::write(&config, format!("{extra}{rules}")).unwrap();
    let (code, value) = host.json(&["diff"]);
    assert_eq!(code, 0);
    let entries = value["entries"].as_array().unwrap();
    let of = |what: &str| {
        entries
            .iter()
            .find(|entry| entry["what"] == what)
            .unwrap_or_else(|| panic!("{what} in {value}"))
    };
    assert_eq!(of("cpus")["change"], "same");
    assert_eq!(of("ROOT")["registered"], "100");
    let path = entries
        .iter()
        .find(|entry| entry["what"].as_str().unwrap().starts_with("PATH:"));
    let path = path.unwrap();
    assert_eq!(path["registered"], "50");
    assert_eq!(path["proposed"], "60");
    let run = host.run(&["diff"]);
    assert!(run.out.starts_with("WHAT"), "{}", run.out);
    assert!(run.out.lines().count() > entries.len(), "{}", run.out);
}

fn immutable(path: &Path, on: bool) {
    let file = fs::File::open(path).unwrap();
    let flags = if on {
        IFlags::IMMUTABLE
    } else {
        IFlags::empty()
    };
    ioctl_setflags(&file, flags).unwrap();
}

/// Takes the flag away again, also when a test fails.
struct Immutable(PathBuf);

impl Immutable {
    fn new(path: PathBuf) -> Self {
        immutable(&path, true);
        Self(path)
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        immutable(&self.0, false);
    }
}

#[test]
fn root_what_keeps_a_pending_destroy_from_ending_is_found() {
    if !entered("preflight::cli::root_what_keeps_a_pending_destroy_from_ending_is_found") {
        return;
    }
    let host = Host::new();
    host.destroy_pending();
    let (code, value) = host.json(&["preflight"]);
    assert_eq!(code, 0, "{value}");
    assert_eq!(value["deletes"][0]["id"], "v1");
    let volume = host.at("path/volumes/roles/prod/v1");
    let refused = |words: &str, way: &str| {
        let (code, value) = host.json(&["preflight"]);
        assert_eq!(
            (code, &value["check"]),
            (5, &"operations".into()),
            "{value}"
        );
        assert_eq!(
            value["text"],
            format!(
                "Failed to sync checkpointed resources: Failed to remove persistent volume 'v1' \
                 at '{}': {words}",
                volume.display()
            )
        );
        assert_eq!(value["remedy"]["ways"][0], way, "{value}");
        assert_eq!(host.run(&["preflight", "--gate"]).code, 5);
    };
    let inner = volume.join("inner");
    fs::write(inner.join("file"), "x").unwrap();
    for path in [
        inner.join("file"),
        inner.clone(),
        volume.clone(),
        host.at("path/volumes/roles/prod"),
    ] {
        let _flag = Immutable::new(path.clone());
        refused(
            "Operation not permitted",
            &format!(
                "{} is immutable: take the immutable flag away (chattr -i)",
                path.display()
            ),
        );
    }
    assert_eq!(host.run(&["preflight"]).code, 0);

    crate::support::disk::sh!("mount", "-t", "tmpfs", "tmpfs", inner);
    refused(
        "Device or resource busy",
        &format!(
            "{} is a mount point: unmount it, or its content is deleted too",
            inner.display()
        ),
    );
    crate::support::disk::sh!("umount", inner);

    let root = host.at("path");
    crate::support::disk::sh!("mount", "--bind", root, root);
    crate::support::disk::sh!("mount", "-o", "remount,bind,ro", root);
    refused(
        "Read-only file system",
        &format!(
            "{} lies on a read-only file system: mount the file system read-write",
            volume.display()
        ),
    );
    crate::support::disk::sh!("umount", root);
    assert_eq!(host.run(&["preflight"]).code, 0);
}

#[test]
fn root_disks_are_seen_as_an_agent_sees_them() {
    if !entered("preflight::cli::root_disks_are_seen_as_an_agent_sees_them") {
        return;
    }
    let host = Host::new();
    let judge = |kind: &str, root: &Path| {
        let member = kind.to_lowercase();
        let text = format!(
            r#"[{{"name":"disk","type":"SCALAR","scalar":{{"value":1}},
                "disk":{{"source":{{"type":"{kind}","{member}":{{"root":{root:?}}}}}}}}}]"#
        );
        fs::write(host.at("text"), text).unwrap();
        let file = host.at("text");
        let work = host.at("empty");
        fs::create_dir_all(&work).unwrap();
        let config = fs::read_to_string(host.at("config.toml"))
            .unwrap()
            .replace("/work\"", "/empty\"");
        fs::write(host.at("first.toml"), config).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_mesos-volumed"))
            .args(["--config", host.at("first.toml").to_str().unwrap()])
            .args(["--output", "json", "preflight", "--resources"])
            .arg(file)
            .output()
            .unwrap();
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), value)
    };
    let at = host.at("disk");
    fs::create_dir_all(&at).unwrap();
    let (code, value) = judge("MOUNT", &at);
    assert_eq!(code, 5);
    assert_eq!(
        value["text"],
        format!("Failed to find mount '{}' in /proc/mounts", at.display())
    );
    crate::support::disk::sh!("mount", "-t", "tmpfs", "tmpfs", at);
    assert_eq!(judge("MOUNT", &at).0, 0);
    symlink(&at, host.at("link")).unwrap();
    let (code, value) = judge("MOUNT", &host.at("link"));
    assert_eq!(code, 0);
    assert!(
        value["warnings"][0]
            .as_str()
            .unwrap()
            .contains("is a symbolic link to")
            || value["warnings"][1]
                .as_str()
                .unwrap()
                .contains("is a symbolic link to"),
        "{value}"
    );
    crate::support::disk::sh!("mount", "-o", "remount,ro", at);
    let (code, value) = judge("PATH", &at.join("new"));
    assert_eq!(code, 5);
    assert_eq!(
        value["text"],
        format!(
            "Failed to create DiskInfo path directory '{}': Read-only file system",
            at.join("new").display()
        )
    );
    crate::support::disk::sh!("umount", at);
    {
        let _flag = Immutable::new(at.clone());
        let (code, value) = judge("PATH", &at.join("new"));
        assert_eq!(code, 5);
        assert!(
            value["text"]
                .as_str()
                .unwrap()
                .ends_with("': Operation not permitted"),
            "{value}"
        );
    }
    let (code, value) = judge("PATH", &at.join("new"));
    assert_eq!(code, 0, "{value}");
    assert!(!at.join("new").try_exists().unwrap());
}
