#![expect(clippy::disallowed_methods, reason = "tests make their own files")]

use std::os::unix::fs::symlink;

use super::*;
use crate::decide::facts::{FileKind, MakeOutcome, TouchedVolume};

struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn at(&self, name: &str) -> Raw {
        let base = Raw::from(std::fs::canonicalize(self.folder.path()).unwrap());
        if name.is_empty() {
            base
        } else {
            base.join(name)
        }
    }

    fn folder(&self, name: &str) -> &Self {
        std::fs::create_dir_all(self.at(name).as_path()).unwrap();
        self
    }

    fn file(&self, name: &str, bytes: &[u8]) -> &Self {
        let path = self.at(name);
        std::fs::create_dir_all(path.as_path().parent().unwrap()).unwrap();
        std::fs::write(path.as_path(), bytes).unwrap();
        self
    }

    fn link(&self, name: &str, target: &str) -> &Self {
        symlink(target, self.at(name).as_path()).unwrap();
        self
    }

    fn look(&self, name: &str) -> RootLook {
        self.look_from(name, &Known::Absent)
    }

    fn look_from(&self, name: &str, directory: &Known<Raw>) -> RootLook {
        let path = if name.starts_with("./") {
            Raw::from(name)
        } else {
            self.at(name)
        };
        let looker = Looker::new(&Places::default()).unwrap();
        let mut all = looker.roots(std::slice::from_ref(&path), directory);
        all.remove(&path).unwrap()
    }
}

#[test]
fn roots_are_seen_as_the_agent_would_see_them() {
    let tree = Tree::new();
    tree.folder("a/b")
        .file("file", b"")
        .link("link", "a/b")
        .link("dangling", "nowhere/at/all")
        .link("ring", "ring");
    let look = tree.look("a/b");
    assert_eq!(look.real, Known::Known(tree.at("a/b")));
    assert_eq!(look.mounted, Known::Known(false));
    assert_eq!(look.kind, Known::Known(FileKind::Directory));
    assert_eq!(look.make, MakeOutcome::There);
    let node = look.node.clone();
    assert!(look.filesystem.known().unwrap().total.known().unwrap().0 > 0);

    let look = tree.look("link");
    assert_eq!(look.real, Known::Known(tree.at("a/b")));
    assert_eq!(look.node, node);

    let look = tree.look("file");
    assert_eq!(look.kind, Known::Known(FileKind::File));
    assert_eq!(look.make, MakeOutcome::There);

    let look = tree.look("new/and/newer");
    assert_eq!(look.real, Known::Absent);
    assert_eq!(look.make, MakeOutcome::Made);
    let below = tree.look("").filesystem;
    assert_eq!(look.filesystem, below);

    // `mkdir -p` takes a link for what is there, whatever it leads to.
    let look = tree.look("dangling");
    assert_eq!(look.real, Known::Absent);
    assert_eq!(look.make, MakeOutcome::There);
    let fails = |name: &str, words: &str| {
        assert_eq!(
            tree.look(name).make,
            MakeOutcome::Fails(words.to_owned()),
            "{name}"
        );
    };
    fails("dangling/x", "No such file or directory");
    fails("file/x", "Not a directory");
    fails("ring/x", "Too many levels of symbolic links");
    fails(&"x".repeat(256), "File name too long");
    fails(&format!("new/{}", "x".repeat(256)), "File name too long");
    assert!(matches!(tree.look("ring").real, Known::Unknown(_)));

    let root = Looker::new(&Places::default())
        .unwrap()
        .roots(&[Raw::from("/"), Raw::from("")], &Known::Absent);
    assert_eq!(root[&Raw::from("/")].mounted, Known::Known(true));
    assert_eq!(root[&Raw::from("")].make, MakeOutcome::There);
    assert_eq!(root[&Raw::from("")].real, Known::Absent);
}

#[test]
fn relative_roots_are_resolved_from_the_agent_s_directory() {
    let tree = Tree::new();
    tree.folder("here/a");
    let look = tree.look_from("./a", &Known::Known(tree.at("here")));
    assert_eq!(look.real, Known::Known(tree.at("here/a")));
    let look = tree.look_from("./a", &Known::unknown("no agent runs"));
    assert!(matches!(look.make, MakeOutcome::Unknown(_)));
}

#[test]
fn looking_makes_nothing() {
    let tree = Tree::new();
    tree.look("a/b/c");
    assert_eq!(std::fs::read_dir(tree.folder.path()).unwrap().count(), 0);
}

fn volume(path: &Raw) -> VolumeLook {
    let looker = Looker::new(&Places::default()).unwrap();
    let touched = TouchedVolume {
        path: path.clone(),
        keeps_root: false,
    };
    looker.volumes(&[touched]).remove(path).unwrap()
}

#[test]
fn volumes_are_looked_through() {
    let tree = Tree::new();
    tree.file("r/v/a/b/c", b"x").link("r/link", "v");
    let look = volume(&tree.at("r/v"));
    assert_eq!(look.exists, Known::Known(true));
    assert_eq!(look.obstacles, []);
    assert_eq!(look.complete, Known::Known(()));
    let look = volume(&tree.at("r/link"));
    assert_eq!(look.exists, Known::Known(true));
    assert_eq!(look.obstacles, []);
    let look = volume(&tree.at("r/none"));
    assert_eq!(look.exists, Known::Known(false));
    assert_eq!(look.make, MakeOutcome::Made);
    assert_eq!(volume(&tree.at("no/where")).exists, Known::Known(false));
}

#[test]
fn a_look_is_bounded_and_says_so() {
    let tree = Tree::new();
    for index in 0..20 {
        tree.file(&format!("v/d{index}/f"), b"");
    }
    let table = MountTable::new(mountinfo::read_self().unwrap());
    let view = Arc::new(Viewpoint::own(table).unwrap());
    let touched = TouchedVolume {
        path: tree.at("v"),
        keeps_root: false,
    };
    let look = |limits| {
        let swaps = Known::Known(Vec::new());
        let mut all = volumes::look(&view, std::slice::from_ref(&touched), &swaps, limits);
        all.remove(&touched.path).unwrap().complete
    };
    let all = volumes::Limits::default();
    assert_eq!(look(all), Known::Known(()));
    let why = |complete: Known<()>| complete.why().unwrap().to_string();
    assert_eq!(
        why(look(volumes::Limits { entries: 30, ..all })),
        "only the first 30 entries were looked at"
    );
    assert!(why(look(volumes::Limits { entries: 5, ..all })).contains("more entries than"));
    assert!(why(look(volumes::Limits { depth: 1, ..all })).contains("deeper than"));
}

#[test]
fn a_swap_file_is_an_obstacle() {
    let tree = Tree::new();
    tree.file("v/my swap", b"");
    let places = Places {
        proc: tree.at("proc"),
        ..Places::default()
    };
    let swap = tree.at("v/my\\040swap");
    let line = format!("Filename Type Size Used Priority\n{swap} file 1 0 -3\n");
    // As the kernel escapes it.
    tree.file("proc/swaps", line.replace("\\\\", "\\").as_bytes());
    let looker = Looker::new(&places).unwrap();
    let touched = TouchedVolume {
        path: tree.at("v"),
        keeps_root: false,
    };
    let look = &looker.volumes(&[touched])[&tree.at("v")];
    assert_eq!(look.obstacles.len(), 1, "{look:?}");
    assert_eq!(look.obstacles[0].at, tree.at("v/my swap"));
    assert_eq!(look.obstacles[0].kind.words(), "Operation not permitted");
}

/// The files of a recorded agent, as a work_dir.
fn recorded(tree: &Tree, name: &str) -> Raw {
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/mesos")
        .join(name)
        .join("meta");
    for entry in walkdir::WalkDir::new(&from) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let relative = entry.path().strip_prefix(&from).unwrap();
            let relative = format!("w/meta/{}", relative.display());
            let bytes = std::fs::read(entry.path()).unwrap();
            if relative.ends_with("slaves/latest") {
                let id = String::from_utf8(bytes).unwrap();
                let id = id.rsplit('/').next().unwrap().to_owned();
                let link = tree.at("w/meta/slaves/latest");
                std::fs::create_dir_all(link.as_path().parent().unwrap()).unwrap();
                symlink(tree.at("w/meta/slaves").join(id).as_path(), link.as_path()).unwrap();
            } else {
                tree.file(&relative, &bytes);
            }
        }
    }
    tree.at("w")
}

#[test]
fn the_agent_s_files_are_read() {
    let tree = Tree::new();
    let work_dir = recorded(&tree, "restart/equal__same");
    let facts = files(&Places::default(), &work_dir).unwrap();
    assert_eq!(facts.meta, Known::Known(()));
    assert!(facts.checkpoint.state.whole().is_some());
    let LatestAgent::Id(id) = &facts.latest else {
        panic!("{:?}", facts.latest)
    };
    assert_eq!(facts.info.whole().unwrap().id.as_ref(), Some(id));
    assert_eq!(facts.agent_boot.known().unwrap().as_bytes().len(), 36);
    assert_eq!(facts.host_boot.known().unwrap().as_bytes().len(), 36);
    assert_ne!(facts.agent_boot, facts.host_boot);
    assert!(facts.detected.cpus.known().unwrap() > &0);
    assert!(facts.detected.memory.known().unwrap().0 > 1 << 20);
}

#[test]
fn what_is_wrong_with_the_agent_s_files_is_told() {
    let tree = Tree::new();
    let work_dir = recorded(&tree, "restart/equal__same");
    let places = Places::default();
    let state = work_dir.join(paths::STATE);
    let bytes = std::fs::read(state.as_path()).unwrap();
    std::fs::write(state.as_path(), &bytes[..bytes.len() - 1]).unwrap();
    let facts = files(&places, &work_dir).unwrap();
    assert_eq!(
        facts.unreadable[paths::STATE],
        format!(
            "Failed to read message of size {} bytes: hit EOF unexpectedly, possible corruption",
            bytes.len() - 4
        )
    );
    // An agent reads what stands before; we don't trust it.
    std::fs::write(state.as_path(), [&bytes[..], b"x"].concat()).unwrap();
    let facts = files(&places, &work_dir).unwrap();
    assert!(matches!(facts.checkpoint.state, CheckpointFile::Damaged(_)));
    assert_eq!(facts.unreadable, BTreeMap::new());

    let latest = work_dir.join(paths::LATEST);
    std::fs::remove_file(latest.as_path()).unwrap();
    let facts = files(&places, &work_dir).unwrap();
    assert_eq!(facts.latest, LatestAgent::Missing { earlier: true });
    assert_eq!(facts.info, CheckpointFile::Missing);
    symlink("/no/where", latest.as_path()).unwrap();
    let facts = files(&places, &work_dir).unwrap();
    assert_eq!(facts.latest, LatestAgent::Dangling);
}

#[test]
fn a_work_dir_without_an_agent_is_a_first_start() {
    let tree = Tree::new();
    let places = Places::default();
    let facts = files(&places, &tree.at("none")).unwrap();
    assert_eq!(facts.meta, Known::Absent);
    tree.folder("w");
    let facts = files(&places, &tree.at("w")).unwrap();
    assert_eq!(facts.meta, Known::Absent);
    assert_eq!(facts.latest, LatestAgent::Missing { earlier: false });
    tree.file("f", b"");
    assert!(matches!(
        files(&places, &tree.at("f")),
        Err(StartError::WorkDir(WorkDirError::NotADirectory { .. }))
    ));
}

#[test]
fn processors_and_memory_are_counted_as_the_agent_counts_them() {
    let tree = Tree::new();
    let places = Places {
        proc: tree.at("proc"),
        sys: tree.at("sys"),
        ..Places::default()
    };
    for (text, count) in [("0\n", Some(1)), ("0-3,5,8-9\n", Some(7)), ("x", None)] {
        tree.file("sys/devices/system/cpu/online", text.as_bytes());
        assert_eq!(cpus(&places).known().copied(), count, "{text}");
    }
    tree.file("proc/meminfo", b"MemTotal:        2048 kB\nMemFree: 1 kB\n");
    assert_eq!(memory(&places), Known::Known(Bytes(2 << 20)));
    tree.file("proc/meminfo", b"MemFree: 1 kB\n");
    assert!(memory(&places).why().is_some());
}
