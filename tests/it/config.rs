//! The configuration as files, and `config check` and `config show` as an operator runs them.

#![expect(
    clippy::disallowed_methods,
    reason = "writes its own files and runs the program"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use mesos_volumed::config::{self, ConfigError, Loaded, Source, keys};

const SAMPLE: &str = include_str!("../../config/mesos-volumed.toml");

/// Loads these files of one folder; the first is the main file.
fn load(files: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("conf.d")).unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    config::load(&Source {
        file: folder.path().join("config.toml"),
        required: false,
    })
}

fn defaults() -> Loaded {
    load(&[]).unwrap()
}

/// The sample with every setting's `#` taken away.
fn uncommented() -> String {
    let is_setting = |line: &str| line.starts_with(|c: char| c == '[' || c.is_ascii_lowercase());
    SAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if is_setting(rest) => rest,
            Some(_) | None => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect()
}

fn keys_of(loaded: &Loaded) -> BTreeSet<String> {
    let sections = loaded.inputs.sections();
    let disks = loaded
        .inputs
        .disks()
        .into_iter()
        .map(|keys| ("disks", keys));
    sections
        .into_iter()
        .chain(disks)
        .flat_map(|(section, keys)| {
            keys.into_iter()
                .filter(|key| key.place.is_some())
                .map(move |key| format!("{section}.{}", key.name))
        })
        .collect()
}

#[test]
fn the_sample_as_it_is_gives_the_defaults_without_a_note() {
    let loaded = load(&[("config.toml", SAMPLE)]).unwrap();
    assert_eq!(loaded.settings, defaults().settings);
    assert_eq!(loaded.notes, []);
    assert_eq!(keys_of(&loaded), BTreeSet::new());
}

#[test]
fn the_sample_uncommented_holds_every_key_with_its_default() {
    let text = uncommented();
    let loaded = load(&[("config.toml", &text)]).unwrap();
    assert_eq!(loaded.settings, defaults().settings);

    let known: BTreeSet<String> = keys::all().map(|key| key.name().to_owned()).collect();
    assert_eq!(keys_of(&loaded), known);

    let values = |loaded: &Loaded| -> Vec<String> {
        let disks = loaded.inputs.disks();
        let sections = loaded.inputs.sections().into_iter().map(|(_, keys)| keys);
        sections
            .chain(disks)
            .flatten()
            .map(|key| format!("{} = {}", key.name, key.value))
            .collect()
    };
    assert_eq!(values(&loaded), values(&defaults()));
}

#[test]
fn the_sample_says_of_each_idle_key_that_it_has_no_effect_yet() {
    for key in keys::all() {
        let (section, name) = key.name().split_once('.').unwrap();
        let header = match section {
            "disks" => "\n#[[disks]]\n".to_owned(),
            _ => format!("\n[{section}]\n"),
        };
        let (above, rest) = SAMPLE.split_once(&header).unwrap();
        let (before, _) = rest.split_once(&format!("\n#{name} =")).unwrap();
        // The prose above the key, and above its section for sections that are idle as a whole.
        let paragraph = before.rsplit("\n\n").next().unwrap().replace("\n# ", " ");
        let heading = above.rsplit("\n\n").next().unwrap();
        let says_so = |text: &str| {
            [
                "no effect yet",
                "has an effect yet",
                "promise more are refused",
            ]
            .iter()
            .any(|words| text.contains(words))
        };
        let idle = key.effect() != keys::Effect::Now;
        assert!(
            !idle || says_so(&paragraph) || says_so(heading),
            "{}: {paragraph}",
            key.name()
        );
        if !idle && key.name() != "wipe.mode" {
            assert!(!says_so(&paragraph), "{}: {paragraph}", key.name());
        }
    }
}

#[test]
fn every_example_in_the_sample_loads() {
    let mut examples = vec![String::new()];
    for line in SAMPLE.lines() {
        match line.strip_prefix("#   ").or((line == "#").then_some("")) {
            Some(code) => {
                let example = examples.last_mut().unwrap();
                example.push_str(code);
                example.push('\n');
            }
            None => examples.push(String::new()),
        }
    }
    for example in &mut examples {
        *example = example.trim_start().to_owned();
    }
    examples.retain(|example| example.starts_with("[["));
    assert_eq!(examples.len(), 3, "{examples:?}");
    for example in examples {
        // Where an example says nothing of disks, the built-in rule stands.
        let rules = example.matches("[[disks]]").count().max(1);
        let loaded = load(&[("config.toml", &example)]).unwrap_or_else(|e| panic!("{example}{e}"));
        assert_eq!(loaded.settings.disks.len(), rules);
    }
}

#[test]
fn drop_ins_are_read_in_the_order_of_their_names_and_nothing_else_is() {
    let grace = |span: &str| format!("[sweep]\ngrace = \"{span}\"\n");
    let loaded = load(&[
        ("config.toml", &grace("1h")),
        ("conf.d/20-later.toml", &grace("3h")),
        ("conf.d/10-first.toml", &grace("2h")),
        ("conf.d/.hidden.toml", "nonsense"),
        ("conf.d/30.toml.dpkg-old", "nonsense"),
    ])
    .unwrap();
    assert_eq!(loaded.settings.sweep.grace.to_string(), "3h");
    let names: Vec<_> = loaded
        .files
        .iter()
        .map(|file| file.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(names, ["config.toml", "10-first.toml", "20-later.toml"]);
}

#[test]
fn drop_ins_are_read_without_a_main_file_too() {
    let loaded = load(&[("conf.d/a.toml", "[sweep]\ngrace = \"2h\"\n")]).unwrap();
    assert_eq!(loaded.settings.sweep.grace.to_string(), "2h");
}

#[test]
fn mistakes_of_all_files_are_named_at_once() {
    let error = load(&[
        ("config.toml", "[sweep]\ngracee = \"1h\"\nevery = \"1ms\"\n"),
        ("conf.d/a.toml", "[agent\n"),
    ])
    .unwrap_err();
    let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("a.toml line 1 is not TOML"), "{lines:?}");
    assert!(lines[1].contains("did you mean sweep.grace?"), "{lines:?}");
    assert!(
        lines[2].contains("config.toml line 3: `1ms` is too short"),
        "{lines:?}"
    );
}

#[test]
fn a_file_that_others_may_write_is_noted() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(&file, "").unwrap();
    for (mode, notes) in [(0o644, 0), (0o664, 1), (0o646, 1)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let source = Source {
            file: file.clone(),
            required: true,
        };
        assert_eq!(
            config::load(&source).unwrap().notes.len(),
            notes,
            "{mode:o}"
        );
    }
}

/// Runs the program with this configuration.
fn run(config: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mesos-volumed"))
        .arg("--config")
        .arg(config)
        .args(args)
        .output()
        .unwrap()
}

fn written(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.toml"), text).unwrap();
    folder
}

#[test]
fn a_bad_configuration_ends_with_78_and_one_line_a_mistake() {
    let folder = written("[sweep]\ngracee = \"1h\"\norphans = \"purge\"\n");
    let file = folder.path().join("config.toml");
    for command in [["config", "check"], ["config", "show"]] {
        let output = run(&file, &command);
        assert_eq!(output.status.code(), Some(78));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            stderr.lines().collect::<Vec<_>>(),
            [
                format!(
                    "error: unknown key sweep.gracee in {} line 2; did you mean sweep.grace?",
                    file.display()
                ),
                format!(
                    "error: sweep.orphans in {} line 3: `purge` is none of \"report\", \"quarantine\", \"wipe\"; write one of these",
                    file.display()
                ),
            ]
        );
        assert!(output.stdout.is_empty());
    }
    let output = run(&file, &["config", "check", "--output", "json"]);
    assert_eq!(output.status.code(), Some(78));
    let verdict: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["ok"], false);
    assert_eq!(verdict["problems"].as_array().unwrap().len(), 2);
}

#[test]
fn check_notes_credentials_that_can_not_be_read() {
    let folder =
        written("[agent]\ncredentials_file = \"/nowhere/secret\"\n[trash]\nmax_bytes = \"1GiB\"\n");
    let output = run(&folder.path().join("config.toml"), &["config", "check"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let [good, secret] = text.lines().collect::<Vec<_>>().try_into().unwrap();
    assert!(good.ends_with("config.toml is good"), "{text}");
    assert!(
        secret.starts_with("note: the file /nowhere/secret can't be read: No such"),
        "{text}"
    );
}

#[test]
fn a_named_file_that_is_missing_is_a_bad_configuration() {
    let output = run(Path::new("/nowhere/config.toml"), &["config", "check"]);
    assert_eq!(output.status.code(), Some(78));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("/nowhere/config.toml can't be read"),
        "{stderr}"
    );
}

#[test]
fn a_fifo_a_folder_and_bytes_that_are_no_text_are_refused_and_do_not_hang() {
    let folder = written("\u{feff}[sweep]\n");
    let fifo = folder.path().join("fifo.toml");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let bytes = folder.path().join("bytes.toml");
    std::fs::write(&bytes, b"[sweep]\n# \xff\n").unwrap();
    let large = folder.path().join("large.toml");
    std::fs::write(&large, vec![b'\n'; 1 << 20]).unwrap();
    for (file, why) in [
        (fifo.as_path(), "not a regular file"),
        (folder.path(), "not a regular file"),
        (bytes.as_path(), "not UTF-8"),
        (large.as_path(), "larger than 1 MiB"),
    ] {
        let output = run(file, &["config", "check"]);
        assert_eq!(output.status.code(), Some(78));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(why), "{stderr}");
    }
}

#[test]
fn what_show_prints_reads_back_to_the_same_settings() {
    for text in [
        "",
        "disks = []\n",
        "[sweep]\nprotect = [\"a/*\", \"b \\\"q\\\"/**\"]\n[[disks]]\ntype = \"PATH\"\npaths = [\"/a\"]\nsize = \"1GiB\"\n\
         [[disks]]\ntype = \"MOUNT\"\nlabels = [\"x\"]\n",
    ] {
        let folder = written(text);
        let file = folder.path().join("config.toml");
        let shown = run(&file, &["config", "show"]);
        assert_eq!(shown.status.code(), Some(0));
        let again = written(&String::from_utf8(shown.stdout).unwrap());
        let load = |file: &Path| {
            config::load(&Source {
                file: file.to_path_buf(),
                required: true,
            })
        };
        let again = load(&again.path().join("config.toml")).unwrap().settings;
        assert_eq!(load(&file).unwrap().settings, again);
    }
}

#[test]
fn json_has_the_shape_of_the_toml() {
    let folder = written("[sweep]\ngrace = \"1h\"\n");
    let output = run(
        &folder.path().join("config.toml"),
        &["config", "show", "--output", "json"],
    );
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["sweep"]["grace"], "1h");
    assert_eq!(shown["sweep"]["brake_min"], 5);
    assert_eq!(shown["disks"][0]["paths"][0], "/dcos/volume*");
}

#[test]
fn flags_may_stand_in_the_environment_and_the_command_line_wins() {
    let folder = written("");
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesos-volumed"));
        command
            .env("MESOS_VOLUMED_CONFIG", folder.path().join("config.toml"))
            .env("MESOS_VOLUMED_OUTPUT", "json")
            .env("MESOS_VOLUMED_VERBOSE", "2");
        command
    };
    let output = program().args(["config", "check"]).output().unwrap();
    let verdict: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["ok"], true);
    let output = program()
        .args(["config", "check", "--output", "table"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("config.toml is good\n"), "{text}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure_and_a_full_disk_is_one() {
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesos-volumed"));
        command.args(["config", "show"]);
        command
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = program().stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());

    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = program().stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stderr.is_empty());
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    for args in [&["sweeep"][..], &[], &["config"], &["--no-such-flag"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_mesos-volumed"))
            .args(args)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}

/// The worked layouts, by name, with the file that `resources --write` then writes.
const LAYOUTS: [(&str, &str, &str, &str); 4] = [
    (
        "plain",
        include_str!("../../config/layouts/plain.toml"),
        "/var/lib/mesos-volumed/resources.json",
        "mesos-agent",
    ),
    (
        "mesosphere",
        include_str!("../../config/layouts/mesosphere.toml"),
        "/etc/mesos-slave/resources",
        "mesos-slave",
    ),
    (
        "clusterd",
        include_str!("../../config/layouts/clusterd.toml"),
        "/etc/mesos-agent/resources",
        "mesos-agent",
    ),
    (
        "dcos",
        include_str!("../../config/layouts/dcos.toml"),
        "/var/lib/dcos/mesos-resources",
        "dcos-mesos-slave",
    ),
];

#[test]
fn the_worked_layouts_merge_over_the_sample_and_write_where_their_agents_read() {
    for (name, text, written, unit) in LAYOUTS {
        let loaded = load(&[("config.toml", SAMPLE), ("conf.d/10-layout.toml", text)]).unwrap();
        assert!(loaded.notes.is_empty(), "{name}: {:?}", loaded.notes);
        let settings = &loaded.settings;
        let file = settings.resources_file(settings.resources.format);
        assert_eq!(file.as_deref(), Some(Path::new(written)), "{name}");
        // Every drop-in that it says to copy is there.
        let copied: Vec<&str> = text
            .split("/usr/share/mesos-volumed/dropins/")
            .skip(1)
            .filter_map(|rest| rest.split_once(".conf").map(|(name, _)| name))
            .collect();
        assert!(
            copied.iter().any(|name| *name == format!("{unit}.service")),
            "{name}"
        );
        for dropin in copied {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("systemd")
                .join(format!("{dropin}.d"));
            assert!(folder.read_dir().unwrap().next().is_some(), "{dropin}");
        }
        assert!(text.contains("# The way back:"), "{name}");
    }
}
