//! The systemd mount units of a prepared disk (systemd.mount(5), systemd-escape(1)).

use super::VOLUME;
use crate::decide::facts::PreparedDisk;
use crate::units::Raw;

/// Where units of the administrator lie; they win over those of packages.
pub const UNIT_FOLDER: &str = "/etc/systemd/system";

/// What must not start before the disks are mounted: the agent under any of its usual names, and
/// what looks at the disks for it.
const AFTER_THE_DISKS: &str = "mesos-slave.service mesos-agent.service dcos-mesos-slave.service \
                               dcos-mesos-slave-public.service mesos-volumed-resources.service \
                               mesos-volumed.service mesos-volumed-sweep.service";

/// The name of a unit for a path, without its suffix: as `systemd-escape --path` gives it.
#[must_use]
pub fn escape_path(path: &Raw) -> String {
    let parts: Vec<&[u8]> = path
        .as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty())
        .collect();
    if parts.is_empty() {
        return "-".to_owned();
    }
    let mut name = String::new();
    for (place, byte) in parts.join(&b'/').iter().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if place == 0 => name.push_str("\\x2e"),
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b':' | b'_' | b'.' => {
                name.push(char::from(*byte));
            }
            other => {
                name.push_str("\\x");
                for digit in [other >> 4, other & 15] {
                    name.extend(char::from_digit(u32::from(digit), 16));
                }
            }
        }
    }
    name
}

/// A value in which systemd replaces specifiers.
fn value(path: &Raw) -> String {
    path.to_string().replace('%', "%%")
}

fn unit(path: &Raw) -> String {
    format!("{}.mount", escape_path(path))
}

/// The names of the units: the file system's own first.
pub(super) fn names(record: &PreparedDisk) -> Vec<String> {
    let mut names = vec![unit(record.mounted_at())];
    if record.hidden.is_some() {
        names.push(unit(&record.disk.root));
    }
    names
}

/// The units with their texts, in the order of [`names`].
pub(super) fn texts(record: &PreparedDisk) -> Vec<(String, String)> {
    let at = record.mounted_at();
    let disk = &record.disk;
    let hidden_side = if record.hidden.is_some() {
        " (hidden side)"
    } else {
        ""
    };
    // Wanted, not required: a dead disk must not keep the host from booting, and the bare mount
    // point below or the look of `mesos-volumed` tells of it.
    let own = format!(
        "# Made by `mesos-volumed disk prepare`; `mesos-volumed disk release {root}` takes it away.\n\
         # Options go into a drop-in of their own.\n\
         [Unit]\n\
         Description=Mesos {kind} disk {root}{hidden_side}\n\
         Before=local-fs.target {AFTER_THE_DISKS}\n\
         \n\
         [Mount]\n\
         What=/dev/disk/by-uuid/{uuid}\n\
         Where={point}\n\
         Type={fs}\n\
         \n\
         [Install]\n\
         WantedBy=local-fs.target\n",
        root = value(&disk.root),
        kind = disk.kind,
        uuid = record.uuid,
        point = value(at),
        fs = record.fs.name(),
    );
    let mut texts = vec![(unit(at), own)];
    if record.hidden.is_some() {
        let below = unit(at);
        let bound = format!(
            "# Made by `mesos-volumed disk prepare`; `mesos-volumed disk release {root}` takes it away.\n\
             [Unit]\n\
             Description=Mesos {kind} disk {root}\n\
             BindsTo={below}\n\
             After={below}\n\
             Before=local-fs.target {AFTER_THE_DISKS}\n\
             \n\
             [Mount]\n\
             What={from}\n\
             Where={root}\n\
             Type=none\n\
             Options=bind\n\
             \n\
             [Install]\n\
             WantedBy=local-fs.target\n",
            root = value(&disk.root),
            kind = disk.kind,
            from = value(&at.join(VOLUME)),
        );
        texts.push((unit(&disk.root), bound));
    }
    texts
}

/// Lines for `/etc/fstab` (fstab(5)) that do the same.
pub(super) fn fstab(record: &PreparedDisk) -> Vec<String> {
    let field = |path: &Raw| {
        path.to_string()
            .replace('\\', "\\134")
            .replace(' ', "\\040")
    };
    let at = record.mounted_at();
    let mut lines = vec![format!(
        "`UUID={} {} {} defaults,nofail 0 0`",
        record.uuid,
        field(at),
        record.fs.name()
    )];
    if record.hidden.is_some() {
        lines.push(format!(
            "`{} {} none bind,nofail,x-systemd.requires-mounts-for={} 0 0`",
            field(&at.join(VOLUME)),
            field(&record.disk.root),
            field(at)
        ));
    }
    lines
}
