//! A blank loop device, a configuration, and the program.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name, and start programs"
)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mesos_volumed::observe::mountinfo;

use crate::support::disk::{sh, try_run};

/// What a command said and how it ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ran {
    /// Fails the test unless it ended so.
    #[track_caller]
    pub(super) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n{}\n{}", self.out, self.err);
        self
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }

    /// The codes of the rules that failed.
    pub(super) fn failed(&self) -> Vec<String> {
        self.json()["tried"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|tried| tried["passed"] == false)
            .map(|tried| tried["rule"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// A host with one device. Its mounts end with the namespace of the test; flags, which would keep
/// its folder from being removed, are taken away when it is dropped.
#[derive(Debug)]
pub(super) struct Bench {
    temp: tempfile::TempDir,
    pub(super) device: PathBuf,
}

impl Bench {
    /// With a blank device of so many MiB.
    pub(super) fn new(mib: u64) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let image = temp.path().join("image");
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(mib.checked_mul(1 << 20).unwrap()).unwrap();
        let bench = Self {
            device: attach(&image, &[]),
            temp,
        };
        for folder in ["etc", "work"] {
            std::fs::create_dir(bench.at(folder)).unwrap();
        }
        let at = |name: &str| bench.at(name).to_str().unwrap().to_owned();
        std::fs::write(
            bench.at("etc/config.toml"),
            format!(
                r#"
                [agent]
                work_dir = "{}"
                url = ""
                pid_namespace = "own"
                [root]
                advertise = false
                [discovery]
                settle = "0s"
                min_size = "1MiB"
                [[disks]]
                type = "MOUNT"
                paths = ["{}"]
                reserve = "1MiB"
                [[disks]]
                type = "PATH"
                paths = ["{}"]
                reserve = "1MiB"
                [daemon]
                state_dir = "{}"
                "#,
                at("work"),
                at("mount*"),
                at("path*"),
                at("state"),
            ),
        )
        .unwrap();
        bench
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// `loop3`: the word that confirms it.
    pub(super) fn word(&self) -> String {
        let name = self.device.file_name().unwrap();
        name.to_str().unwrap().to_owned()
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesos-volumed"));
        command.arg("--config").arg(self.at("etc/config.toml"));
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command().args(arguments).output().unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// `disk prepare` of its device at a folder of this name.
    pub(super) fn prepare(&self, kind: &str, at: &str, fs: &str, more: &[&str]) -> Ran {
        let (device, root, word) = (self.device.clone(), self.at(at), self.word());
        let mut arguments = vec![
            "--output",
            "json",
            "disk",
            "prepare",
            device.to_str().unwrap(),
            "--as",
            kind,
            "--at",
            root.to_str().unwrap(),
            "--fs",
            fs,
        ];
        if !more.contains(&"--confirm") {
            arguments.extend(["--confirm", &word]);
        }
        arguments.extend(more);
        self.run(&arguments)
    }

    pub(super) fn release(&self, at: &str) -> Ran {
        let root = self.at(at);
        self.run(&[
            "--output",
            "json",
            "disk",
            "release",
            root.to_str().unwrap(),
        ])
    }

    /// What is on the device, to the byte.
    pub(super) fn bytes(&self) -> String {
        let out = sh!("sha256sum", &self.device);
        String::from_utf8(out.stdout).unwrap()
    }

    /// The UUID in the only record.
    pub(super) fn uuid(&self) -> String {
        let names: Vec<String> = std::fs::read_dir(self.at("state/prepared"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names.len(), 1, "{names:?}");
        names[0].strip_suffix(".json").unwrap().to_owned()
    }

    pub(super) fn hidden(&self) -> PathBuf {
        self.at("state/mounts").join(self.uuid())
    }

    /// Mount points with what they show, below the folder of the test.
    pub(super) fn mounts(&self) -> Vec<(PathBuf, String)> {
        let mut found: Vec<(PathBuf, String)> = mountinfo::read_self()
            .unwrap()
            .into_iter()
            .map(|mount| {
                let point = mount.mount_point.as_path().to_owned();
                (point, mount.root.to_string())
            })
            .filter(|(point, _)| point.starts_with(self.temp.path()))
            .collect();
        found.sort();
        found
    }

    /// Takes every mount away, as a reboot would.
    pub(super) fn unmount_all(&self) {
        // A bind's source may lie on a mount that is listed before it.
        for _ in 0..8 {
            for (point, _) in self.mounts().into_iter().rev() {
                try_run("umount", &[point.as_os_str()]);
            }
        }
        assert_eq!(self.mounts(), []);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for (point, _) in self.mounts().into_iter().rev() {
            try_run("umount", &[OsStr::new("--lazy"), point.as_os_str()]);
        }
        try_run(
            "chattr",
            &[
                OsStr::new("-R"),
                OsStr::new("-i"),
                self.temp.path().as_os_str(),
            ],
        );
        try_run(
            "losetup",
            &[OsStr::new("--detach"), self.device.as_os_str()],
        );
    }
}

/// Attaches an image to a free loop device; others look for one at the same time.
pub(super) fn attach(image: &Path, more: &[&str]) -> PathBuf {
    for _ in 0..100 {
        let mut args: Vec<&OsStr> = more.iter().map(OsStr::new).collect();
        args.extend([
            OsStr::new("--find"),
            OsStr::new("--show"),
            image.as_os_str(),
        ]);
        let output = try_run("losetup", &args);
        if output.status.success() {
            return PathBuf::from(OsStr::from_bytes(output.stdout.trim_ascii()));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("no free loop device for {}", image.display());
}

/// Whether a folder, not what is mounted on it, is immutable.
pub(super) fn is_immutable(folder: &Path) -> bool {
    let out = sh!("lsattr", "-d", folder);
    let text = String::from_utf8(out.stdout).unwrap();
    text.split(' ').next().unwrap().contains('i')
}
