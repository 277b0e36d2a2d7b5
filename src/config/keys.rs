//! Every key of the configuration: its name, its default, how it is read, and whether this version
//! does anything with it.
//!
//! A default stands here as the TOML text of the sample and is read by the same function as an
//! operator's value, so that sample, documentation and behaviour can't drift apart.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use toml::Value;

use super::value_error::ValueError;
use super::values::{self, Choice};
use crate::decide::facts::{
    DiskType, FreeBelow, OrphanPolicy, PidNamespace, ReconfigurationPolicy, Role, RoleRetention,
    WipeMode,
};
use crate::units::{Bytes, Raw, Span};

/// Whether a key changes anything in this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does.
    Now,
    /// It is read and checked, nothing more; the words say what does not happen.
    NotYet(&'static str),
}

/// A key and the type of its value.
pub struct Key<T> {
    name: &'static str,
    default: &'static str,
    effect: Effect,
    read: fn(&Value) -> Result<T, ValueError>,
}

impl<T> Key<T> {
    const fn new(
        name: &'static str,
        default: &'static str,
        read: fn(&Value) -> Result<T, ValueError>,
    ) -> Self {
        Self {
            name,
            default,
            effect: Effect::Now,
            read,
        }
    }

    /// The value that this TOML value stands for.
    pub(super) fn read(&self, value: &Value) -> Result<T, ValueError> {
        (self.read)(value)
    }
}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A key, whatever its type.
pub trait AnyKey: fmt::Debug + Sync {
    /// Section and name, such as `sweep.grace`; keys of a `[[disks]]` rule begin with `disks.`.
    fn name(&self) -> &'static str;
    /// The default as it stands in the sample; empty where a rule must give the key.
    fn default_text(&self) -> &'static str;
    /// Whether it changes anything.
    fn effect(&self) -> Effect;
    /// Whether the value follows the key's rule.
    fn check(&self, value: &Value) -> Result<(), ValueError>;
}

impl<T> AnyKey for Key<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn default_text(&self) -> &'static str {
        self.default
    }

    fn effect(&self) -> Effect {
        self.effect
    }

    fn check(&self, value: &Value) -> Result<(), ValueError> {
        self.read(value).map(|_meaning| ())
    }
}

/// How fast a disk is wiped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WipeRate {
    /// As its file system bears it.
    ByFileSystem,
    /// So many removals in a second.
    Fixed(NonZeroU32),
    /// As fast as it goes.
    Unpaced,
}

/// The form in which resources are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourcesFormat {
    /// A JSON array, for `--resources=file://…`.
    Json,
    /// One line of a systemd `EnvironmentFile`.
    Env,
    /// The flag itself, for a shell.
    Flag,
    /// The file of Mesosphere's packages, which holds the value.
    Mesosphere,
    /// The file of clusterd's packages, which holds the value.
    Clusterd,
    /// DC/OS's environment file, and the cache of its own generator beside it.
    Dcos,
}

impl ResourcesFormat {
    /// The form of the file.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, form)| *form == self)
            .map_or("", |(word, _)| word)
    }

    /// The form with this name.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        let found = Self::WORDS.iter().find(|(name, _)| *name == word);
        found.map(|(_, form)| *form)
    }
}

impl Choice for ResourcesFormat {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("json", Self::Json),
        ("env", Self::Env),
        ("flag", Self::Flag),
        ("mesosphere", Self::Mesosphere),
        ("clusterd", Self::Clusterd),
        ("dcos", Self::Dcos),
    ];
}

impl Choice for ReconfigurationPolicy {
    const WORDS: &'static [(&'static str, Self)] =
        &[("equal", Self::Equal), ("additive", Self::Additive)];
}

/// Who may ask the daemon to change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketWriters {
    /// Root alone.
    Root,
    /// Whoever may open the socket, its group too.
    Group,
}

impl Choice for SocketWriters {
    const WORDS: &'static [(&'static str, Self)] = &[("root", Self::Root), ("group", Self::Group)];
}

macro_rules! keys {
    ($list:ident; $($name:ident: $type:ty = $key:expr;)*) => {
        $(pub(super) static $name: Key<$type> = $key;)*
        /// The keys of this part, in the order of the sample.
        pub static $list: &[&dyn AnyKey] = &[$(&$name),*];
    };
}

keys! { SECTION_KEYS;
    AGENT_WORK_DIR: Raw = Key::new("agent.work_dir", r#""/var/lib/mesos""#, values::directory);
    AGENT_URL: Option<String> =
        Key::new("agent.url", r#""http://127.0.0.1:5051""#, values::http_url);
    AGENT_CREDENTIALS_FILE: Option<PathBuf> =
        Key::new("agent.credentials_file", r#""""#, values::optional_file);
    AGENT_TOKEN_FILE: Option<PathBuf> =
        Key::new("agent.token_file", r#""""#, values::optional_file);
    AGENT_CA_FILE: Option<PathBuf> =
        Key::new("agent.ca_file", r#""""#, values::optional_file);
    AGENT_CERT_FILE: Option<PathBuf> =
        Key::new("agent.cert_file", r#""""#, values::optional_file);
    AGENT_KEY_FILE: Option<PathBuf> =
        Key::new("agent.key_file", r#""""#, values::optional_file);
    AGENT_START_GATE: bool = Key::new("agent.start_gate", "false", values::boolean);
    AGENT_PID_NAMESPACE: PidNamespace =
        Key::new("agent.pid_namespace", r#""host""#, values::choice);
    AGENT_REQUIRE: bool = Key::new("agent.require", "false", values::boolean);

    ROOT_ADVERTISE: bool = Key::new("root.advertise", "true", values::boolean);
    ROOT_RESERVE: Bytes = Key::new("root.reserve", r#""5GiB""#, values::size);
    ROOT_SIZE: Option<Bytes> = Key::new("root.size", r#""""#, values::optional_size);
    ROOT_ROLE: Role = Key::new("root.role", r#""*""#, values::role);

    DISCOVERY_SETTLE: Span = Key::new("discovery.settle", r#""5s""#, values::span);
    DISCOVERY_MIN_SIZE: Bytes = Key::new("discovery.min_size", r#""64MiB""#, values::size);
    DISCOVERY_FILESYSTEMS: Vec<String> =
        Key::new("discovery.filesystems", "[]", values::names);
    DISCOVERY_EXCLUDE: Vec<String> = Key::new("discovery.exclude", "[]", values::globs);

    RESOURCES_EXTRA: String = Key::new("resources.extra", r#""""#, values::extra_resources);
    RESOURCES_WRITE_TO: Option<PathBuf> =
        Key::new("resources.write_to", r#""""#, values::optional_file);
    RESOURCES_FORMAT: ResourcesFormat =
        Key::new("resources.format", r#""json""#, values::choice);
    RESOURCES_POLICY: ReconfigurationPolicy =
        Key::new("resources.policy", r#""equal""#, values::choice);

    SWEEP_EVERY: Span = Key::new("sweep.every", r#""5m""#, values::interval);
    SWEEP_SETTLE: Span = Key::new("sweep.settle", r#""1s""#, values::span);
    SWEEP_GRACE: Span = Key::new("sweep.grace", r#""24h""#, values::span);
    SWEEP_ORPHANS: OrphanPolicy = Key::new("sweep.orphans", r#""report""#, values::choice);
    SWEEP_PROTECT: Vec<String> = Key::new("sweep.protect", "[]", values::volume_globs);
    SWEEP_BRAKE_PERCENT: u8 = Key::new("sweep.brake_percent", "10", values::percent);
    SWEEP_BRAKE_MIN: u32 = Key::new("sweep.brake_min", "5", values::count);

    VOLUMES_RECREATE_VANISHED: bool =
        Key::new("volumes.recreate_vanished", "false", values::boolean);

    TRASH_RETENTION: Span = Key::new("trash.retention", r#""0s""#, values::span);
    TRASH_ORPHAN_RETENTION: Span = Key::new("trash.orphan_retention", r#""7d""#, values::span);
    TRASH_MIN_RETENTION: Span = Key::new("trash.min_retention", r#""0s""#, values::span);
    TRASH_MAX_BYTES: Option<Bytes> = Key::new("trash.max_bytes", r#""""#, values::optional_size);
    TRASH_FREE_BELOW: Option<FreeBelow> =
        Key::new("trash.free_below", r#""""#, values::optional_size_or_share);
    TRASH_ROLES: Vec<RoleRetention> = Key::new("trash.roles", "[]", values::role_retentions);

    WIPE_MODE: WipeMode = Key::new("wipe.mode", r#""unlink""#, values::wipe_mode);
    WIPE_MOUNT_MODE: Option<WipeMode> =
        Key::new("wipe.mount_mode", r#""""#, values::mount_mode);
    WIPE_STRICT: bool = Key::new("wipe.strict", "false", values::boolean);
    WIPE_PASSES: u32 = Key::new("wipe.passes", "1", values::at_least_one);
    WIPE_VERIFY: bool = Key::new("wipe.verify", "true", values::boolean);
    WIPE_THREADS: u32 = Key::new("wipe.threads", "2", values::wipe_threads);
    WIPE_RATE: WipeRate = Key::new("wipe.rate", r#""auto""#, values::wipe_rate);
    WIPE_PRESSURE_LIMIT: u8 = Key::new("wipe.pressure_limit", "20", values::percent);

    DAEMON_SOCKET: Option<PathBuf> =
        Key::new("daemon.socket", r#""/run/mesos-volumed/api.sock""#, values::optional_file);
    DAEMON_SOCKET_GROUP: String = Key::new("daemon.socket_group", r#""mesos""#, values::group);
    DAEMON_SOCKET_WRITERS: SocketWriters =
        Key::new("daemon.socket_writers", r#""root""#, values::choice);
    DAEMON_TEXTFILE: Option<PathBuf> =
        Key::new("daemon.textfile", r#""""#, values::optional_file);
    DAEMON_LISTEN: Option<SocketAddr> =
        Key::new("daemon.listen", r#""127.0.0.1:5061""#, values::address);
    DAEMON_STATE_DIR: Raw =
        Key::new("daemon.state_dir", r#""/var/lib/mesos-volumed""#, values::directory);
    DAEMON_AUDIT_FILE_SIZE: Bytes =
        Key::new("daemon.audit_file_size", r#""16MiB""#, values::size);
    DAEMON_AUDIT_KEEP: Span = Key::new("daemon.audit_keep", r#""365d""#, values::span);

    MASTER_URLS: Vec<String> = Key::new("master.urls", "[]", values::urls);
    MASTER_CREDENTIALS_FILE: Option<PathBuf> =
        Key::new("master.credentials_file", r#""""#, values::optional_file);
    MASTER_TOKEN_FILE: Option<PathBuf> =
        Key::new("master.token_file", r#""""#, values::optional_file);
    MASTER_CA_FILE: Option<PathBuf> =
        Key::new("master.ca_file", r#""""#, values::optional_file);
    MASTER_CERT_FILE: Option<PathBuf> =
        Key::new("master.cert_file", r#""""#, values::optional_file);
    MASTER_KEY_FILE: Option<PathBuf> =
        Key::new("master.key_file", r#""""#, values::optional_file);
    MASTER_PRINCIPAL: Option<Raw> = Key::new("master.principal", r#""""#, values::principal);
    MASTER_CONFIRM: Span = Key::new("master.confirm", r#""30s""#, values::interval);
    MASTER_BARRIER: bool = Key::new("master.barrier", "true", values::boolean);
    MASTER_LONGEST_FAILOVER: Span =
        Key::new("master.longest_failover", r#""7d""#, values::span);

    MARATHON_URL: Option<String> = Key::new("marathon.url", r#""""#, values::http_url);
    MARATHON_CREDENTIALS_FILE: Option<PathBuf> =
        Key::new("marathon.credentials_file", r#""""#, values::optional_file);
    MARATHON_TOKEN_FILE: Option<PathBuf> =
        Key::new("marathon.token_file", r#""""#, values::optional_file);
    MARATHON_CA_FILE: Option<PathBuf> =
        Key::new("marathon.ca_file", r#""""#, values::optional_file);
    MARATHON_CERT_FILE: Option<PathBuf> =
        Key::new("marathon.cert_file", r#""""#, values::optional_file);
    MARATHON_KEY_FILE: Option<PathBuf> =
        Key::new("marathon.key_file", r#""""#, values::optional_file);

    FLEET_URL: String = Key::new("fleet.url", r#""http://{host}:5061""#, values::host_url);
    FLEET_AT_ONCE: u32 = Key::new("fleet.at_once", "64", values::at_least_one);
    FLEET_TIMEOUT: Span = Key::new("fleet.timeout", r#""5s""#, values::interval);
    FLEET_CREDENTIALS_FILE: Option<PathBuf> =
        Key::new("fleet.credentials_file", r#""""#, values::optional_file);
    FLEET_TOKEN_FILE: Option<PathBuf> =
        Key::new("fleet.token_file", r#""""#, values::optional_file);
    FLEET_CA_FILE: Option<PathBuf> =
        Key::new("fleet.ca_file", r#""""#, values::optional_file);
    FLEET_CERT_FILE: Option<PathBuf> =
        Key::new("fleet.cert_file", r#""""#, values::optional_file);
    FLEET_KEY_FILE: Option<PathBuf> =
        Key::new("fleet.key_file", r#""""#, values::optional_file);
}

keys! { DISK_KEYS;
    DISK_TYPE: DiskType = Key::new("disks.type", "", values::disk_type);
    DISK_PATHS: Vec<String> = Key::new("disks.paths", "[]", values::path_globs);
    DISK_LABELS: Vec<String> = Key::new("disks.labels", "[]", values::globs);
    DISK_MODELS: Vec<String> = Key::new("disks.models", "[]", values::globs);
    DISK_DEVICES: Vec<String> = Key::new("disks.devices", "[]", values::globs);
    DISK_RESERVE: Bytes = Key::new("disks.reserve", r#""100MiB""#, values::size);
    DISK_SIZE: Option<Bytes> = Key::new("disks.size", r#""""#, values::optional_size);
    DISK_ROLE: Role = Key::new("disks.role", r#""*""#, values::role);
}

/// The `[[disks]]` rules where no file gives any: DC/OS's mount points, whole.
pub(super) const DEFAULT_DISKS: &str = r#"
[[disks]]
type = "MOUNT"
paths = ["/dcos/volume*"]
"#;

/// The sections, in the order of the sample.
pub(super) const SECTIONS: &[&str] = &[
    "agent",
    "root",
    "disks",
    "discovery",
    "resources",
    "sweep",
    "volumes",
    "trash",
    "wipe",
    "daemon",
    "master",
    "marathon",
    "fleet",
];

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static dyn AnyKey> {
    all().find(|key| key.name() == name)
}

/// Every key.
pub fn all() -> impl Iterator<Item = &'static dyn AnyKey> {
    SECTION_KEYS.iter().chain(DISK_KEYS).copied()
}

/// The section nearest to a name that is none.
pub(super) fn nearest_section(unknown: &str) -> &'static str {
    SECTIONS
        .iter()
        .min_by_key(|known| strsim::damerau_levenshtein(unknown, known))
        .copied()
        .unwrap_or_default()
}

/// The key nearest to a name that is none: by edits of the whole name, or, for a key that stands
/// in another section, of its last part.
pub(super) fn nearest_key(unknown: &str) -> &'static str {
    let last = |name| str::rsplit_once(name, '.').map_or(name, |(_, last)| last);
    all()
        .map(AnyKey::name)
        .min_by_key(|known| {
            let whole = strsim::damerau_levenshtein(unknown, known);
            let tail = strsim::damerau_levenshtein(last(unknown), last(known)).saturating_add(1);
            whole.min(tail)
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_default_follows_its_own_rule() {
        for key in all().filter(|key| !key.default_text().is_empty()) {
            let value: toml::Table = format!("it = {}", key.default_text()).parse().unwrap();
            key.check(&value["it"])
                .unwrap_or_else(|error| panic!("{}: {error}", key.name()));
        }
    }

    #[test]
    fn keys_are_unique_and_in_a_known_section() {
        let names: BTreeSet<_> = all().map(AnyKey::name).collect();
        assert_eq!(names.len(), all().count());
        for name in names {
            let (section, key) = name.split_once('.').unwrap();
            assert!(SECTIONS.contains(&section), "{name}");
            assert!(!key.contains('.'), "{name}");
        }
    }

    #[test]
    fn the_nearest_key_is_found_across_spelling_and_sections() {
        for (unknown, known) in [
            ("sweep.gracee", "sweep.grace"),
            ("sweep.graec", "sweep.grace"),
            ("trash.grace", "sweep.grace"),
            ("agent.workdir", "agent.work_dir"),
            ("work_dir", "agent.work_dir"),
            ("disks.path", "disks.paths"),
            ("deamon.state_dir", "daemon.state_dir"),
            ("sweep.brake_precent", "sweep.brake_percent"),
        ] {
            assert_eq!(nearest_key(unknown), known, "{unknown}");
        }
        assert_eq!(nearest_section("swep"), "sweep");
        assert_eq!(nearest_section("disk"), "disks");
    }
}
