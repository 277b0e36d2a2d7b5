//! The stand-in agent behaves towards files and HTTP as the recorded one did.

mod cluster;
mod marathon;
mod recorded;
mod versions;

use std::collections::BTreeSet;
use std::path::Path;

use mesos_volumed::mesos::checkpoint::{Content, decode_info, decode_state};
use mesos_volumed::mesos::resource::Resource;
use mesos_volumed::mesos::state::{OperationState, ResourceState};

use super::support::stand_in::StandIn;

const ROOT_AND_PATH: &str = r#"[
    {"name":"disk","type":"SCALAR","scalar":{"value":400}},
    {"name":"disk","type":"SCALAR","scalar":{"value":300},
     "disk":{"source":{"type":"PATH","path":{"root":"PATH_ROOT"}}}}]"#;

struct Host {
    temp: tempfile::TempDir,
    agent: StandIn,
}

impl Host {
    fn new(version: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("path").display().to_string();
        let mut agent = StandIn::new(
            temp.path(),
            &temp.path().join("work"),
            &ROOT_AND_PATH.replace("PATH_ROOT", &path),
        )
        .flag(&format!("--as_version={version}"));
        agent.start();
        Self { temp, agent }
    }

    fn meta(&self, file: &str) -> std::path::PathBuf {
        self.temp.path().join("work/meta").join(file)
    }

    fn files(&self) -> BTreeSet<String> {
        std::fs::read_dir(self.meta("resources"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    fn state(&self) -> ResourceState {
        let bytes = std::fs::read(self.meta("resources/resources_and_operations.state")).unwrap();
        match decode_state(&bytes).unwrap() {
            Content::Whole(state) => state,
            Content::Empty => panic!("0 bytes"),
        }
    }

    fn info(&self) -> Vec<Resource> {
        match decode_info(&std::fs::read(self.meta("resources/resources.info")).unwrap()).unwrap() {
            Content::Whole(resources) => resources,
            Content::Empty => Vec::new(),
        }
    }

    fn is_there(&self, path: &str) -> bool {
        self.temp.path().join(path).symlink_metadata().is_ok()
    }
}

fn volumes(resources: &[Resource]) -> Vec<String> {
    resources
        .iter()
        .filter_map(|one| Some(one.volume_key()?.to_string()))
        .collect()
}

const VOLUME: &str = "work/volumes/roles/eng dev/v1";

#[test]
fn an_agent_since_1_9_writes_both_generations_and_deletes_before_it_commits() {
    let host = Host::new("1.11.0");
    assert!(!host.is_there("work/meta/resources"));
    host.agent
        .order(&["reserve", "eng/dev", "--disk", "ROOT", "--size", "100"]);
    host.agent
        .order(&["create", "eng/dev/v1", "--disk", "ROOT", "--size", "64"]);
    assert_eq!(
        host.files(),
        ["resources.info", "resources_and_operations.state"]
            .map(str::to_owned)
            .into()
    );
    assert_eq!(volumes(&host.state().resources), ["eng/dev/v1"]);
    assert_eq!(volumes(&host.info()), ["eng/dev/v1"]);
    assert!(host.is_there(VOLUME));

    host.agent
        .order(&["destroy", "eng/dev/v1", "--pending-only"]);
    let state = host.state();
    assert_eq!(
        state.operations.last().unwrap().state,
        OperationState::Pending
    );
    assert_eq!(volumes(&state.resources), ["eng/dev/v1"]);
    assert!(host.is_there(VOLUME));

    host.agent.order(&["finish"]);
    let state = host.state();
    assert_eq!(
        state.operations.last().unwrap().state,
        OperationState::Finished
    );
    assert!(volumes(&state.resources).is_empty() && volumes(&host.info()).is_empty());
    assert!(!host.is_there(VOLUME) && host.is_there("work/volumes/roles/eng dev"));

    host.agent.order(&["acknowledge"]);
    assert!(host.state().operations.is_empty());
}

#[test]
fn an_agent_before_1_0_writes_one_file_and_deletes_nothing() {
    let host = Host::new("0.28.2");
    host.agent
        .order(&["reserve", "r", "--disk", "ROOT", "--size", "100"]);
    host.agent
        .order(&["create", "r/v1", "--disk", "ROOT", "--size", "100"]);
    host.agent.order(&["destroy", "r/v1"]);
    assert_eq!(host.files(), ["resources.info".to_owned()].into());
    assert!(volumes(&host.info()).is_empty());
    assert!(host.is_there("work/volumes/roles/r/v1"));
}

#[test]
fn a_restarted_agent_keeps_its_id_and_volumes_and_carries_out_what_was_pending() {
    let mut host = Host::new("1.11.0");
    let path = format!("PATH:{}", host.temp.path().join("path").display());
    host.agent
        .order(&["reserve", "r", "--disk", &path, "--size", "200"]);
    for volume in ["r/a", "r/b"] {
        host.agent
            .order(&["create", volume, "--disk", &path, "--size", "100"]);
    }
    let run = |file: &Path| {
        use std::os::unix::fs::MetadataExt as _;
        let stat = file.metadata().unwrap();
        (stat.ino(), stat.mtime_nsec())
    };
    let (id, first) = (
        std::fs::read_link(host.meta("slaves/latest")).unwrap(),
        run(&host.meta("boot_id")),
    );
    host.agent.order(&["destroy", "r/a", "--pending-only"]);
    host.agent.restart();
    assert_eq!(std::fs::read_link(host.meta("slaves/latest")).unwrap(), id);
    assert_ne!(run(&host.meta("boot_id")), first);
    assert!(!host.is_there("path/volumes/roles/r/a") && host.is_there("path/volumes/roles/r/b"));
    assert_eq!(volumes(&host.state().resources), ["r/b"]);
}

#[test]
fn its_answer_has_the_recorded_shape() {
    let host = Host::new("1.11.0");
    host.agent
        .order(&["reserve", "r", "--disk", "ROOT", "--size", "100"]);
    host.agent
        .order(&["create", "r/v1", "--disk", "ROOT", "--size", "60"]);
    let answer = |path: &str| {
        let url = format!("http://127.0.0.1:{}{path}", host.agent.port);
        let text = ureq::get(&url).call().unwrap().body_mut().read_to_string();
        serde_json::from_str::<serde_json::Value>(&text.unwrap()).unwrap()
    };
    let (bare, ours) = (answer("/state"), answer("/slave(1)/state"));
    assert_eq!(
        bare["reserved_resources_full"],
        ours["reserved_resources_full"]
    );
    let recorded: serde_json::Value = serde_json::from_str(include_str!(
        "../fixtures/mesos/stages/S02_volumes_root_path_mount/agent_state.json"
    ))
    .unwrap();
    let keys = |json: &serde_json::Value| -> BTreeSet<String> {
        json.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(keys(&ours), keys(&recorded));
    let (mut volume, mut then) = (
        ours["reserved_resources_full"]["r"][1].clone(),
        recorded["reserved_resources_full"]["prod"][1].clone(),
    );
    assert_eq!(volume["disk"]["persistence"]["id"], "v1");
    // What differs by intention: names and numbers.
    for one in [&mut volume, &mut then] {
        one["role"] = "r".into();
        one["reservations"][0]["role"] = "r".into();
        one["scalar"]["value"] = 60.0.into();
        one["disk"]["persistence"]["id"] = "v1".into();
        one["disk"]["volume"]["container_path"] = "data".into();
    }
    assert_eq!(volume, then);
    let flags = keys(&ours["flags"]);
    assert!(flags.is_subset(&keys(&recorded["flags"])), "{flags:?}");
}
