//! A host with a tenant that must live through everything.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name"
)]

use std::path::{Path, PathBuf};

use crate::e2e::host::{Host, Parts, is_gone, tree};

/// Everything that lets data go fast is on, so that only what is right keeps them.
pub(super) const FAST: &str = "[agent]\nstart_gate = true\n[sweep]\ngrace = \"0s\"\n\
                               orphans = \"wipe\"\nbrake_percent = 100\n";

/// A host, with volume `stays` on ROOT and on PATH if the agent ever ran.
pub(super) struct Site {
    pub(super) host: Host,
    stays: Vec<(PathBuf, String)>,
}

impl Site {
    /// An agent of this version runs; two volumes are in use, and the program has seen them.
    pub(super) fn new(version: &str) -> Self {
        let mut site = Self::empty(version);
        site.host.agent.start();
        for disk in ["ROOT", "PATH"] {
            let id = format!("{disk}-stays");
            site.host.tenant(disk, &id, 30);
            site.remember(&site.host.volume(disk, &id));
        }
        site.host.sweep(0);
        site
    }

    /// A host whose agent has not been started.
    pub(super) fn empty(version: &str) -> Self {
        let mut host = Host::new(Parts {
            settings: FAST,
            ..Parts::default()
        });
        host.agent.set_flags(&[&format!("--as_version={version}")]);
        Self {
            host,
            stays: Vec::new(),
        }
    }

    /// What is in this directory has to be there at the end, to the last byte.
    pub(super) fn remember(&mut self, path: &Path) {
        self.stays.push((path.to_owned(), tree(path)));
    }

    /// The agent goes on with this version.
    pub(super) fn becomes(&mut self, version: &str) {
        self.host.agent.stop();
        self.host
            .agent
            .set_flags(&[&format!("--as_version={version}")]);
        self.host.agent.start();
    }

    /// It is listed as an orphan, and two sweeps later it is gone.
    #[track_caller]
    pub(super) fn is_found_and_cleaned(&self, disk: &str, id: &str) {
        let path = self.host.volume(disk, id);
        assert!(!is_gone(&path), "{} was left behind", path.display());
        self.host.sweep(0);
        assert_eq!(self.host.states(id), ["orphan"], "{id}");
        assert!(!is_gone(&path), "one sighting is not enough");
        let run = self.host.sweep(0);
        assert!(is_gone(&path), "{:?}\n{}", self.listed(id), run.out);
        self.rest_lives();
    }

    /// Gone after so many sweeps at most, and not after the first.
    #[track_caller]
    pub(super) fn goes_within(&self, sweeps: u32, disk: &str, id: &str) {
        let path = self.host.volume(disk, id);
        let mut said = self.host.run(&["sweep"]).out;
        assert!(!is_gone(&path), "one sighting is not enough:\n{said}");
        for _ in 1..sweeps {
            said.push_str(&self.host.run(&["sweep"]).out);
        }
        assert!(is_gone(&path), "{:?}\n{said}", self.listed(id));
        self.rest_lives();
    }

    /// Sweep after sweep it stays; the list says why: it is held, or this code.
    #[track_caller]
    pub(super) fn is_kept(&self, disk: &str, id: &str, code: &str) {
        let path = self.host.volume(disk, id);
        let before = tree(&path);
        let mut said = String::new();
        for _ in 0..3 {
            let run = self.host.run(&["sweep"]);
            // Nothing to do, or refused by a guard; never a failure.
            assert!(
                matches!(run.code, 0 | 5),
                "{}\n{}\n{}",
                run.code,
                run.out,
                run.err
            );
            said.push_str(&run.out);
        }
        let listed = self.codes(id);
        let says_so = match code {
            // What is held needs no other reason.
            "held" => listed.iter().all(|one| one == "held") && self.host.states(id) == ["held"],
            _ => listed.iter().any(|one| one == code),
        };
        assert!(says_so, "{code}: {:?}\n{said}", self.listed(id));
        similar_asserts::assert_eq!(tree(&path), before);
        self.rest_lives();
    }

    /// The codes of the reasons that `volumes list` gives for a volume.
    pub(super) fn codes(&self, id: &str) -> Vec<String> {
        let reasons = self.listed(id).into_iter().flat_map(|volume| {
            let reasons = volume["reasons"].as_array().cloned();
            reasons.unwrap_or_default()
        });
        reasons
            .map(|reason| reason["code"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Everything remembered is as it was.
    #[track_caller]
    pub(super) fn rest_lives(&self) {
        for (path, before) in &self.stays {
            similar_asserts::assert_eq!(&tree(path), before, "{}", path.display());
        }
    }

    /// What `volumes list` says of a volume.
    pub(super) fn listed(&self, id: &str) -> Vec<serde_json::Value> {
        let run = self.host.run(&["volumes", "list", "--output", "json"]);
        let all = run.json();
        let volumes = all["volumes"].as_array().unwrap().clone();
        volumes.into_iter().filter(|one| one["id"] == id).collect()
    }
}

/// A copy of a folder, as after a power cut that lost what was written since.
pub(super) struct Backup {
    of: PathBuf,
    copy: tempfile::TempDir,
}

impl Backup {
    pub(super) fn of(folder: &Path) -> Self {
        let copy = tempfile::tempdir().unwrap();
        copy_all(folder, copy.path());
        Self {
            of: folder.to_owned(),
            copy,
        }
    }

    pub(super) fn restore(&self) {
        if !is_gone(&self.of) {
            std::fs::remove_dir_all(&self.of).unwrap();
        }
        std::fs::create_dir(&self.of).unwrap();
        copy_all(self.copy.path(), &self.of);
    }
}

fn copy_all(from: &Path, to: &Path) {
    crate::e2e::host::must(
        "cp",
        &["-a", &format!("{}/.", from.display()), to.to_str().unwrap()],
    );
}
