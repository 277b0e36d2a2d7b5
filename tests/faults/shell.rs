//! Other programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Something that has to be there and is not.
pub(crate) fn give_up(what: &str) -> ! {
    eprintln!("error: {what}");
    std::process::exit(1);
}

/// Runs a program to its end.
pub(crate) fn run<A: AsRef<OsStr>>(program: &str, args: &[A]) -> Output {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| give_up(&format!("{program}: {error}")))
}

/// Runs a program that has to succeed, and returns what it wrote.
pub(crate) fn must<A: AsRef<OsStr>>(program: &str, args: &[A]) -> String {
    let output = run(program, args);
    if !output.status.success() {
        let args: Vec<_> = args.iter().map(|arg| arg.as_ref().to_owned()).collect();
        give_up(&format!(
            "{program} {args:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Attaches an image to a free loop device; others look for one at the same time.
pub(crate) fn attach(image: &Path) -> PathBuf {
    let image = image.as_os_str();
    for _ in 0..200 {
        let output = run(
            "losetup",
            &[OsStr::new("--find"), OsStr::new("--show"), image],
        );
        if output.status.success() {
            return PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    give_up("no loop device is free");
}
