//! The modes of the wipe through the program itself, and what it refuses.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name"
)]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use super::host::{Disk, Host, Parts, fill, is_gone, must, names, tree};
use crate::own_namespace::entered;

const GATE: &str = "[agent]\nstart_gate = true\n";

/// The receipt of the step that destroyed data.
#[track_caller]
fn receipt(said: &Value, step: &str) -> Value {
    let outcomes = said["outcomes"].as_array().unwrap();
    let done = outcomes
        .iter()
        .find(|outcome| outcome["step"] == step)
        .unwrap_or_else(|| panic!("{said:#}"));
    assert_eq!(done["result"], "done", "{said:#}");
    done["detail"].clone()
}

fn contains(path: &Path, what: &[u8]) -> bool {
    let bytes = std::fs::read(path).unwrap();
    // What is looked for begins a file, and so a block.
    bytes.chunks(512).any(|block| block.starts_with(what))
}

#[test]
fn root_an_overwritten_volume_is_not_in_the_image_any_more() {
    if !entered("e2e::modes::root_an_overwritten_volume_is_not_in_the_image_any_more") {
        return;
    }
    for (fs, promised) in [("ext4", true), ("xfs", true)] {
        let mut host = Host::new(Parts {
            path: fs,
            settings: "[wipe]\nrate = 0\n",
            ..Parts::default()
        });
        host.agent.start();
        host.tenant("PATH", "held", 10);
        let held = tree(&host.volume("PATH", "held"));
        let image = host.temp().join("path.img");
        for (id, secret, flags) in [
            ("unlinked", "SECRET-OF-THE-FIRST", &["--mode", "unlink"][..]),
            (
                "strict",
                "SECRET-OF-THE-SECOND",
                &["--mode", "overwrite", "--strict"],
            ),
            ("usual", "SECRET-OF-THE-THIRD", &["--mode", "overwrite"]),
        ] {
            let at = host.volume("PATH", id);
            fill(&at, 20);
            std::fs::write(at.join("secret"), secret.repeat(5000)).unwrap();
            must("sync", &["-f", at.to_str().unwrap()]);
            let name = format!("r/{id}");
            let arguments = ["wipe", &name, "--confirm", id, "--output", "json"];
            let said = host.run(&[&arguments, flags].concat()).ends(0).json();
            assert!(is_gone(&at));
            if id == "unlinked" {
                // Before another one takes its blocks.
                host.path_disk.unmount();
                assert!(
                    contains(&image, secret.as_bytes()),
                    "{fs}: unlink keeps data"
                );
                host.path_disk.mount();
            }
            let receipt = receipt(&said, "wipe");
            assert_eq!(receipt["mode"], flags[1]);
            assert_eq!(receipt["proof"]["guarantee"], "guaranteed", "{receipt:#}");
            if id != "unlinked" {
                assert_eq!(receipt["proof"]["overwritten_files"], 22, "{receipt:#}");
                assert!(receipt["proof"]["read_back_bytes"].as_u64().unwrap() > 3 << 20);
            }
        }
        let audit = host.run(&["receipts"]).ends(0).out;
        assert!(audit.contains("overwrite (guaranteed)"), "{audit}");
        assert_eq!(tree(&host.volume("PATH", "held")), held);
        host.path_disk.unmount();
        assert_eq!(contains(&image, b"SECRET-OF-THE-SECOND"), !promised, "{fs}");
        assert_eq!(contains(&image, b"SECRET-OF-THE-THIRD"), !promised, "{fs}");
    }
}

#[test]
fn root_what_a_mode_cannot_promise_is_refused_strictly_and_said_otherwise() {
    if !entered(
        "e2e::modes::root_what_a_mode_cannot_promise_is_refused_strictly_and_said_otherwise",
    ) {
        return;
    }
    let mut host = Host::new(Parts {
        settings: "[wipe]\nmode = \"overwrite\"\nstrict = true\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("PATH", "held", 10);
    let at = host.volume("PATH", "old");
    fill(&at, 20);
    let elsewhere = host.root("PATH").join("somebodys");
    std::fs::hard_link(at.join("data.bin"), &elsewhere).unwrap();
    let (before, other) = (tree(&at), std::fs::read(&elsewhere).unwrap());

    let run = host.run(&["wipe", "r/old", "--confirm", "old"]).ends(5);
    assert!(run.err.contains("mode_refused"), "{}", run.err);
    assert!(
        run.err.contains("data.bin: has another name"),
        "{}",
        run.err
    );
    assert_eq!(
        tree(&at),
        before,
        "nothing was touched, nor moved to the trash"
    );

    host.configure("[wipe]\nmode = \"overwrite\"\n");
    let arguments = ["wipe", "r/old", "--confirm", "old", "--output", "json"];
    let said = host.run(&arguments).ends(0).json();
    let receipt = receipt(&said, "wipe");
    assert_eq!(receipt["proof"]["guarantee"], "best_effort", "{receipt:#}");
    let short = &receipt["proof"]["short"][0];
    assert_eq!(
        (&short["why"], &short["count"]),
        (&"hard_link".into(), &1.into())
    );
    assert_eq!(short["paths"][0], "data.bin");
    assert_eq!(std::fs::read(&elsewhere).unwrap(), other);
    assert_eq!(elsewhere.metadata().unwrap().nlink(), 1);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a long list of bad input")]
fn root_a_wipe_refuses_what_it_should_and_touches_nothing() {
    if !entered("e2e::modes::root_a_wipe_refuses_what_it_should_and_touches_nothing") {
        return;
    }
    let mut host = Host::new(Parts {
        settings: GATE,
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("PATH", "held", 10);
    host.tenant("MOUNT", "mounted", 10);
    let orphan = host.volume("PATH", "orphan");
    fill(&orphan, 10);
    let outside = host.root("PATH").join("outside");
    fill(&outside, 10);
    std::os::unix::fs::symlink(&outside, host.volume("PATH", "link")).unwrap();
    std::fs::write(host.volume("PATH", "file"), "x").unwrap();
    let image = host.temp().join("other.img");
    let other = Disk::new(&image, "ext4", 16, &host.volume("PATH", "elsewhere"));
    fill(&host.volume("PATH", "elsewhere"), 5);
    host.sweep(0);
    let all = |host: &Host| tree(&host.root("PATH")) + &tree(&host.root("MOUNT"));
    let before = all(&host);

    let path = |at: &Path| at.display().to_string();
    let (root, mount) = (path(&host.root("PATH")), path(&host.root("MOUNT")));
    let overwrite = &["--mode", "overwrite"][..];
    for (target, confirm, flags, code) in [
        ("/".to_owned(), "/", &[][..], "not_a_volume_path"),
        (root.clone(), "path", &[], "not_a_volume_path"),
        (
            format!("{root}/volumes"),
            "volumes",
            &[],
            "not_a_volume_path",
        ),
        (
            format!("{root}/volumes/roles/r"),
            "r",
            &[],
            "not_a_volume_path",
        ),
        (path(&outside), "outside", overwrite, "not_a_volume_path"),
        ("r/../../../../etc".to_owned(), "etc", &[], "no volume"),
        ("r/link".to_owned(), "link", overwrite, "symlink"),
        ("r/file".to_owned(), "file", overwrite, "not_a_volume_path"),
        ("r/held".to_owned(), "held", overwrite, "held"),
        (mount.clone(), "mounted", overwrite, "held"),
        ("r/orphan".to_owned(), "held", overwrite, "--confirm"),
        (
            "r/orphan".to_owned(),
            "orphan",
            &["--mode", "reformat"],
            "mode_refused",
        ),
        (
            "r/orphan".to_owned(),
            "orphan",
            &["--mode", "zero_free"],
            "mode_refused",
        ),
        (
            "r/elsewhere".to_owned(),
            "elsewhere",
            overwrite,
            "mount_inside",
        ),
        ("r/none".to_owned(), "none", overwrite, "no volume"),
    ] {
        let arguments = ["wipe", &target, "--confirm", confirm];
        let run = host.run(&[&arguments, flags].concat()).ends(5);
        let said = run.out + &run.err;
        assert!(said.contains(code), "{target}: {code} is not in\n{said}");
        assert_eq!(all(&host), before, "{target}");
    }
    // Whole devices that are in use, of the wrong name, or no devices.
    let device = must("findmnt", &["-no", "SOURCE", &mount])
        .trim()
        .to_owned();
    let name = device.trim_start_matches("/dev/").to_owned();
    let zero = ["--mode", "zero_device"];
    for (target, confirm, why) in [
        (device.as_str(), name.as_str(), "is mounted at"),
        (&device, "wrong", "--confirm wrong is not its name"),
        (&root, "path", "is no block device"),
        ("/dev/null", "null", "is no block device"),
    ] {
        let arguments = ["wipe", "--device", target, "--confirm", confirm];
        let run = host.run(&[&arguments[..], &zero].concat()).ends(5);
        assert!(run.err.contains(why), "{target}: {}", run.err);
        assert_eq!(all(&host), before, "{target}");
    }
    host.run(&[
        "wipe",
        "--device",
        &device,
        "--confirm",
        &name,
        "--mode",
        "unlink",
    ])
    .ends(2);
    host.run(&[
        "wipe",
        "r/orphan",
        "--confirm",
        "orphan",
        "--mode",
        "zero_device",
    ])
    .ends(2);
    assert_eq!(all(&host), before);
    other.unmount();
}

#[test]
fn root_a_mount_disk_is_made_anew_in_its_place_and_only_behind_the_barrier() {
    if !entered(
        "e2e::modes::root_a_mount_disk_is_made_anew_in_its_place_and_only_behind_the_barrier",
    ) {
        return;
    }
    let mut host = Host::new(Parts {
        settings: "[agent]\nstart_gate = true\n[wipe]\nmount_mode = \"reformat\"\n",
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    host.tenant("MOUNT", "goes", 300);
    let root = host.root("MOUNT");
    let at = root.to_str().unwrap();
    must("chmod", &["2750", at]);
    must("chown", &["7:8", at]);
    let seen = || must("findmnt", &["-no", "SOURCE,FSTYPE,OPTIONS,UUID,LABEL", at]);
    let facts = || {
        let meta = root.metadata().unwrap();
        (
            seen(),
            meta.ino(),
            meta.uid(),
            meta.gid(),
            meta.permissions().mode(),
        )
    };
    host.sweep(0);
    let before = facts();
    let data = tree(&root);
    host.destroy("goes");
    // The agent runs: no barrier.
    let run = host.sweep(5);
    assert!(run.out.contains("no_barrier"), "{}", run.out);
    assert_eq!(tree(&root), data);
    host.agent.stop();

    // Mounted elsewhere as well: somebody would lose it.
    let second = host.temp().join("second");
    std::fs::create_dir(&second).unwrap();
    must("mount", &["--bind", at, second.to_str().unwrap()]);
    let run = host.sweep(5);
    assert!(
        run.out.contains("refused") || run.out.contains("kept"),
        "{}",
        run.out
    );
    assert_eq!(tree(&root), data);
    must("umount", &[second.to_str().unwrap()]);

    // A command that works on whole disks would find the device free, and nothing on it.
    let other = std::fs::File::create(host.state_dir().join("prepare.lock")).unwrap();
    other.lock().unwrap();
    let run = host.sweep(5);
    let why = "prepares, releases, reformats or wipes a disk";
    assert!(run.out.contains(why), "{}", run.out);
    assert_eq!(tree(&root), data);
    drop(other);

    let begun = Instant::now();
    let said = host.run(&["sweep", "--output", "json"]).ends(0).json();
    println!("the whole sweep took {:?}", begun.elapsed());
    let receipt = receipt(&said, "empty_mount");
    assert_eq!(receipt["mode"], "reformat");
    assert_eq!(receipt["proof"]["guarantee"], "guaranteed");
    assert!(
        receipt["milliseconds"].as_u64().unwrap() < 5000,
        "{receipt:#}"
    );
    assert!(names(&root).is_empty());
    assert_eq!(facts(), before);
    assert!(is_gone(&host.state_dir().join("gate.json")));
    assert!(!is_gone(&host.volume("ROOT", "stays")));
    // It is the same disk to everybody: the next tenant comes and goes.
    host.agent.start();
    host.sweep(0);
    let disk = format!("MOUNT:{at}");
    host.agent
        .order(&["create", "r/next", "--disk", &disk, "--size", "20"]);
    fill(&root, 10);
    host.sweep(0);
    assert_eq!(host.states("next"), ["held"]);
}

#[test]
fn root_a_mount_disk_is_filled_with_zeros_on_the_operators_word() {
    if !entered("e2e::modes::root_a_mount_disk_is_filled_with_zeros_on_the_operators_word") {
        return;
    }
    let mut host = Host::new(Parts {
        settings: GATE,
        ..Parts::default()
    });
    host.agent.start();
    host.tenant("ROOT", "stays", 5);
    host.tenant("MOUNT", "goes", 20);
    let at = host.root("MOUNT");
    let early = at.join("early");
    std::fs::write(&early, "SECRET-OF-LONG-AGO".repeat(5000)).unwrap();
    must("sync", &["-f", at.to_str().unwrap()]);
    std::fs::remove_file(&early).unwrap();
    host.sweep(0);
    host.destroy("goes");
    host.agent.stop();
    let arguments = ["wipe", "r/goes", "--confirm", "goes", "--mode", "zero_free"];
    let said = host
        .run(&[&arguments[..], &["--output", "json"]].concat())
        .ends(0)
        .json();
    let receipt = receipt(&said, "empty_mount");
    assert_eq!(receipt["mode"], "zero_free");
    assert_eq!(receipt["proof"]["guarantee"], "guaranteed", "{receipt:#}");
    assert!(names(&at).is_empty());
    host.mount_disk.unmount();
    assert!(!contains(
        &host.temp().join("mount.img"),
        b"SECRET-OF-LONG-AGO"
    ));
}

#[test]
fn root_a_whole_device_that_nothing_uses_is_zeroed_or_discarded_and_read_back() {
    if !entered(
        "e2e::modes::root_a_whole_device_that_nothing_uses_is_zeroed_or_discarded_and_read_back",
    ) {
        return;
    }
    let host = Host::new(Parts::default());
    // What lies in the other can't have holes punched, so that a device on it takes no discard.
    let (punched, whole) = (host.temp().join("punched"), host.temp().join("whole"));
    for folder in [&punched, &whole] {
        std::fs::create_dir(folder).unwrap();
    }
    must("mount", &["-t", "ramfs", "ramfs", whole.to_str().unwrap()]);
    for (folder, mode) in [
        (&punched, "zero_device"),
        (&punched, "discard_device"),
        (&whole, "zero_device"),
        (&whole, "discard_device"),
    ] {
        let image = folder.join("spare.img");
        std::fs::write(&image, "SECRET ".repeat(3 << 20)).unwrap();
        let device = must("losetup", &["--find", "--show", image.to_str().unwrap()])
            .trim()
            .to_owned();
        let open = std::fs::File::open(&device).unwrap();
        // When nobody has it open any more, also where this test is killed.
        must("losetup", &["--detach", &device]);
        let name = device.trim_start_matches("/dev/");
        let arguments = [
            "wipe",
            "--device",
            &device,
            "--confirm",
            name,
            "--mode",
            mode,
        ];
        let ran = host.run(&[&arguments[..], &["--output", "json"]].concat());
        drop(open);
        if folder == &whole && mode == "discard_device" {
            let said = ran.ends(5);
            assert!(said.err.contains("takes no discard"), "{}", said.err);
            assert!(contains(&image, b"SECRET"));
            continue;
        }
        let said = ran.ends(0).json();
        let receipt = receipt(&said, "wipe_device");
        assert_eq!(receipt["verified"], true);
        assert_eq!(receipt["mode"], mode);
        assert_eq!(receipt["proof"]["guarantee"], "guaranteed", "{receipt:#}");
        let size = image.metadata().unwrap().len();
        assert!(receipt["proof"]["read_back_bytes"].as_u64().unwrap() >= size / 4096 * 4096);
        assert!(!contains(&image, b"SECRET"), "{mode}");
    }
}
