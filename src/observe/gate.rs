//! The gate: whether it is closed, and whether the agent's unit waits for it.

use super::places::Places;
use super::state_dir;
use super::units;
use crate::decide::facts::{GateFacts, GateFile, Known, OwedFill};
use crate::sys::ReadError;
use crate::units::{Raw, chain};

pub use super::units::AGENT_UNITS;

/// Gate file and unit.
#[must_use]
pub fn observe(places: &Places, state_dir: &Raw) -> GateFacts {
    let file = file(state_dir);
    GateFacts {
        fills: fills(&file),
        closed_for: file.map(|file| file.roots),
        unit: unit(places),
    }
}

fn fills(file: &Known<GateFile>) -> Vec<OwedFill> {
    match file {
        Known::Known(file) => file.fills.clone(),
        // Which keeps the gate closed until every MOUNT disk is empty.
        Known::Absent | Known::Unknown(_) => Vec::new(),
    }
}

/// The roots that the gate file names. `Absent`: the gate is open. `Unknown`: the file is damaged,
/// and an agent's start is held back all the same.
#[must_use]
pub fn closed_for(state_dir: &Raw) -> Known<Vec<Raw>> {
    file(state_dir).map(|file| file.roots)
}

/// The gate file.
#[must_use]
pub fn file(state_dir: &Raw) -> Known<GateFile> {
    state_dir::versioned::<GateFile>(
        &state_dir.join(GateFile::NAME),
        GateFile::VERSION,
        "the agent's start is held back; see which MOUNT disk was being emptied \
         (`mesos-volumed volumes list`), then remove the file",
    )
}

/// The unit file or drop-in that runs `mesos-volumed preflight --gate` before the agent.
///
/// `Known` only where every agent unit that is installed runs it: one that does not would start an
/// agent through a closed gate. `Absent`: none does, or not all. `Unknown`: a unit or a folder of
/// drop-ins could not be read.
#[must_use]
pub fn unit(places: &Places) -> Known<Raw> {
    match unit_or_error(places) {
        Ok(Some(file)) => Known::Known(file),
        Ok(None) => Known::Absent,
        Err(error) => Known::unknown(chain(&error)),
    }
}

fn unit_or_error(places: &Places) -> Result<Option<Raw>, ReadError> {
    let mut found = None;
    for unit in units::installed(places)? {
        match unit
            .list("ExecStartPre")
            .into_iter()
            .find(|(_, command)| waits_for_gate(command))
        {
            Some((file, _)) => found = found.or_else(|| Some(file.clone())),
            None => return Ok(None),
        }
    }
    Ok(found)
}

/// Whether a command runs `mesos-volumed preflight --gate` by itself and its failure stops the
/// start: not one that systemd ignores (`-`), nor one inside a shell (`|`), which may go on.
fn waits_for_gate(command: &str) -> bool {
    let bare = command.trim_start_matches(['@', '-', ':', '+', '!', '|']);
    let prefixes = command.strip_suffix(bare).unwrap_or("");
    if prefixes.contains(['-', '|']) {
        return false;
    }
    let mut words = bare
        .split_whitespace()
        .map(|word| word.trim_matches(['"', '\'']));
    let program = words.next().unwrap_or("");
    if prefixes.contains('@') {
        words.next();
    }
    let words: Vec<&str> = words.take_while(|word| *word != ";").collect();
    program.rsplit('/').next() == Some("mesos-volumed")
        && words.contains(&"preflight")
        && words.contains(&"--gate")
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::*;

    struct Tree {
        folder: tempfile::TempDir,
    }

    impl Tree {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
            }
        }

        fn path(&self, name: &str) -> Raw {
            Raw::from(self.folder.path()).join(name)
        }

        fn file(&self, name: &str, text: &str) -> &Self {
            let path = self.path(name);
            std::fs::create_dir_all(path.as_path().parent().unwrap()).unwrap();
            std::fs::write(path.as_path(), text).unwrap();
            self
        }

        fn link(&self, name: &str, target: &str) -> &Self {
            let path = self.path(name);
            std::fs::create_dir_all(path.as_path().parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(target, path.as_path()).unwrap();
            self
        }

        fn unit(&self) -> Known<Raw> {
            unit(&Places {
                units: vec![self.path("etc"), self.path("run"), self.path("usr")],
                ..Places::default()
            })
        }
    }

    const PLAIN: &str = "[Service]\nExecStart=/usr/sbin/mesos-agent\n";
    const GATED: &str = "[Unit]\nAfter=network.target\n[Service]\n\
                         ExecStartPre=/usr/bin/mesos-volumed preflight --gate\n\
                         ExecStart=/usr/sbin/mesos-agent\n";

    #[test]
    fn no_agent_unit_is_absent() {
        assert_eq!(Tree::new().unit(), Known::Absent);
    }

    #[test]
    fn a_unit_or_a_drop_in_may_run_the_gate() {
        let tree = Tree::new();
        tree.file("usr/mesos-slave.service", GATED);
        assert_eq!(
            tree.unit(),
            Known::Known(tree.path("usr/mesos-slave.service"))
        );
        let tree = Tree::new();
        tree.file("usr/mesos-slave.service", PLAIN).file(
            "etc/mesos-slave.service.d/volumed.conf",
            "[Service]\nExecStartPre=+/usr/bin/mesos-volumed \\\n  # why\n  preflight --gate\n",
        );
        assert_eq!(
            tree.unit(),
            Known::Known(tree.path("etc/mesos-slave.service.d/volumed.conf"))
        );
    }

    #[test]
    fn a_gate_that_would_not_hold_the_start_back_does_not_count() {
        for line in [
            "ExecStartPre=-/usr/bin/mesos-volumed preflight --gate",
            "ExecStartPre=+-/usr/bin/mesos-volumed preflight --gate",
            "ExecStartPre=|/usr/bin/mesos-volumed preflight --gate || true",
            "ExecStartPre=/bin/sh -c 'mesos-volumed preflight --gate || true'",
            "ExecStartPre=/usr/bin/mesos-volumed preflight",
            "ExecStartPost=/usr/bin/mesos-volumed preflight --gate",
            "#ExecStartPre=/usr/bin/mesos-volumed preflight --gate",
            "ExecStartPre=/usr/bin/mesos-volumed preflight --gate\nExecStartPre=",
            "[Unit]\nExecStartPre=/usr/bin/mesos-volumed preflight --gate",
            "ExecStartPre=/usr/bin/mesos-volumed check ; /bin/echo preflight --gate",
        ] {
            let tree = Tree::new();
            tree.file("usr/mesos-agent.service", &format!("[Service]\n{line}\n"));
            assert_eq!(tree.unit(), Known::Absent, "{line}");
        }
    }

    #[test]
    fn the_folder_that_wins_is_the_one_that_counts() {
        let tree = Tree::new();
        tree.file("etc/mesos-slave.service", PLAIN)
            .file("usr/mesos-slave.service", GATED);
        assert_eq!(tree.unit(), Known::Absent);
        let tree = Tree::new();
        tree.file("usr/mesos-slave.service", PLAIN)
            .file("usr/mesos-slave.service.d/gate.conf", GATED)
            .link("etc/mesos-slave.service.d/gate.conf", "/dev/null");
        assert_eq!(tree.unit(), Known::Absent);
    }

    #[test]
    fn every_installed_agent_unit_has_to_run_it() {
        let tree = Tree::new();
        tree.file("usr/mesos-slave.service", GATED)
            .file("usr/dcos-mesos-slave.service", PLAIN);
        assert_eq!(tree.unit(), Known::Absent);
        let tree = Tree::new();
        tree.file("usr/mesos-slave.service", GATED)
            .link("etc/mesos-agent.service", "/usr/mesos-slave.service")
            .link("etc/dcos-mesos-slave.service", "/dev/null");
        assert_eq!(
            tree.unit(),
            Known::Known(tree.path("usr/mesos-slave.service"))
        );
    }

    #[test]
    fn a_unit_that_cannot_be_read_is_unknown() {
        let tree = Tree::new();
        tree.link("usr/mesos-slave.service", "nowhere");
        assert!(tree.unit().why().is_some());
        let tree = Tree::new();
        tree.file("usr/mesos-slave.service", GATED)
            .file("etc/mesos-slave.service.d/a.conf/b", "");
        assert!(tree.unit().why().is_some());
    }

    #[test]
    fn the_gate_file_names_roots_and_a_damaged_one_is_not_open() {
        let tree = Tree::new();
        let dir = tree.path("state");
        assert_eq!(closed_for(&dir), Known::Absent);
        tree.file(
            "state/gate.json",
            r#"{"version":1,"roots":["/dcos/volume0"]}"#,
        );
        assert_eq!(
            closed_for(&dir),
            Known::Known(vec![Raw::from("/dcos/volume0")])
        );
        for text in ["", "{", r#"{"version":2,"roots":[]}"#, r#"{"version":1}"#] {
            tree.file("state/gate.json", text);
            assert!(closed_for(&dir).why().is_some(), "{text}");
        }
    }
}
