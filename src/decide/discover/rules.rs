//! The configured rules, made ready for matching.

use globset::{GlobBuilder, GlobMatcher};

use crate::decide::baseline::plain;
use crate::decide::facts::{BlockDevice, DiskRule, DiskRules, SizeRule};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::Role;
use crate::units::Raw;

/// Globs of one list.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns(Vec<Pattern>);

#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// As the configuration has it.
    pub(super) text: String,
    /// The text itself, where it holds no wildcard.
    exact: Option<Raw>,
    /// `None` for a text that is no glob; it matches nothing.
    glob: Option<GlobMatcher>,
}

impl Pattern {
    fn new(text: &str, is_path: bool) -> Self {
        let exact = (!text.contains(['*', '?', '[', '{', '\\']))
            .then(|| if is_path { tidy(text) } else { Raw::from(text) });
        // In a path `*` stops at a slash; a model or label may hold one.
        let glob = GlobBuilder::new(text)
            .literal_separator(is_path)
            .backslash_escape(true)
            .build()
            .ok()
            .map(|glob| glob.compile_matcher());
        Self {
            text: text.to_owned(),
            exact,
            glob,
        }
    }

    pub(super) fn matches(&self, name: &Raw) -> bool {
        match &self.exact {
            Some(exact) => exact == name,
            None => self
                .glob
                .as_ref()
                .is_some_and(|glob| glob.is_match(name.as_path())),
        }
    }

    pub(super) fn is_exact(&self) -> bool {
        self.exact.is_some()
    }

    /// Whether it fits a name of this device: `sdb1`, `/dev/sdb1`, `vg-data`,
    /// `/dev/mapper/vg-data`.
    pub(super) fn fits(&self, device: &BlockDevice) -> bool {
        let node = Raw::from("/dev").join(&device.name);
        let mapper = device.mapper_name.as_ref();
        let below_mapper = mapper.map(|name| Raw::from("/dev/mapper").join(name));
        [
            Some(&device.name),
            Some(&node),
            mapper,
            below_mapper.as_ref(),
        ]
        .into_iter()
        .flatten()
        .any(|name| self.matches(name))
    }

    pub(super) fn is_valid(&self) -> bool {
        self.exact.is_some() || self.glob.is_some()
    }
}

/// An absolute path without repeated or trailing slashes.
fn tidy(path: &str) -> Raw {
    let mut tidy = String::with_capacity(path.len());
    for name in path.split('/').filter(|name| !name.is_empty()) {
        if !tidy.is_empty() || path.starts_with('/') {
            tidy.push('/');
        }
        tidy.push_str(name);
    }
    if tidy.is_empty() {
        tidy.push('/');
    }
    Raw::from(tidy)
}

impl Patterns {
    fn new(texts: &[String], is_path: bool) -> Self {
        Self(
            texts
                .iter()
                .map(|text| Pattern::new(text, is_path))
                .collect(),
        )
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Pattern> {
        self.0.iter()
    }

    pub(super) fn find(&self, name: &Raw) -> Option<&Pattern> {
        self.0.iter().find(|pattern| pattern.matches(name))
    }

    /// The first that fits a name of this device.
    pub(super) fn find_device(&self, device: &BlockDevice) -> Option<&Pattern> {
        self.0.iter().find(|pattern| pattern.fits(device))
    }
}

/// One `[[disks]]` rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// Its place, from 1.
    pub(super) number: usize,
    pub(super) kind: DiskType,
    pub(super) paths: Patterns,
    pub(super) labels: Patterns,
    pub(super) models: Patterns,
    pub(super) devices: Patterns,
    /// `None`: the number that it has.
    pub(super) size: Option<SizeRule>,
    pub(super) role: Role,
}

impl Rule {
    /// What keeps a disk that the agent has and that no rule names. It comes before all others.
    fn of_agent(disk: &DiskRef) -> Self {
        let none = Patterns::default();
        Self {
            number: 0,
            kind: disk.kind,
            paths: Patterns(vec![Pattern {
                text: disk.root.to_string(),
                exact: Some(plain(&disk.root)),
                glob: None,
            }]),
            labels: none.clone(),
            models: none.clone(),
            devices: none,
            size: None,
            role: Role::new("*"),
        }
    }

    /// Whether it stands in the configuration.
    pub(super) fn is_configured(&self) -> bool {
        self.number > 0
    }

    fn new(index: usize, rule: &DiskRule) -> Self {
        Self {
            number: index.saturating_add(1),
            kind: rule.kind,
            paths: Patterns::new(&rule.paths, true),
            labels: Patterns::new(&rule.labels, false),
            models: Patterns::new(&rule.models, false),
            devices: Patterns::new(&rule.devices, false),
            size: Some(rule.size),
            role: rule.role.clone(),
        }
    }

    /// Whether labels, models and devices of the rule fit this device.
    pub(super) fn wants_device(&self, device: Option<&BlockDevice>) -> bool {
        let fits = |patterns: &Patterns, name: Option<&Raw>| {
            patterns.is_empty() || name.is_some_and(|name| patterns.find(name).is_some())
        };
        fits(&self.labels, device.and_then(BlockDevice::label))
            && fits(
                &self.models,
                device.and_then(|device| device.model.as_ref()),
            )
            && (self.devices.is_empty()
                || device.is_some_and(|device| self.devices.find_device(device).is_some()))
    }

    /// Whether the rule names this mount point. A rule without any list names nothing.
    pub(super) fn names(&self, mount_point: &Raw, device: Option<&BlockDevice>) -> bool {
        let says_anything = !(self.paths.is_empty()
            && self.labels.is_empty()
            && self.models.is_empty()
            && self.devices.is_empty());
        says_anything && self.names_path(mount_point) && self.wants_device(device)
    }

    /// Whether the rule's paths fit this one, or it has none.
    pub(super) fn names_path(&self, path: &Raw) -> bool {
        self.paths.is_empty() || self.paths.find(path).is_some()
    }

    /// Its paths without wildcards.
    pub(super) fn exact_paths(&self) -> impl Iterator<Item = &Raw> {
        self.paths
            .iter()
            .filter_map(|pattern| pattern.exact.as_ref())
    }
}

/// All of the configuration's rules.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) disks: Vec<Rule>,
    pub(super) exclude_paths: Patterns,
    pub(super) exclude_devices: Patterns,
}

impl Rules {
    /// The configuration's rules, and one for each disk of the agent whose path none of them names:
    /// behind them, or before them where they name it as another type.
    pub(super) fn new(rules: &DiskRules, of_agent: &[DiskRef]) -> Self {
        let mut disks: Vec<Rule> = rules
            .disks
            .iter()
            .enumerate()
            .map(|(index, rule)| Rule::new(index, rule))
            .collect();
        for disk in of_agent.iter().filter(|disk| disk.kind != DiskType::Root) {
            let root = plain(&disk.root);
            let first = disks
                .iter()
                .find(|rule| !rule.paths.is_empty() && rule.names_path(&root));
            match first.map(|rule| rule.kind == disk.kind) {
                Some(true) => {}
                Some(false) => disks.insert(0, Rule::of_agent(disk)),
                None => disks.push(Rule::of_agent(disk)),
            }
        }
        Self {
            disks,
            exclude_paths: Patterns::new(&rules.discovery.exclude, true),
            exclude_devices: Patterns::new(&rules.discovery.exclude, false),
        }
    }

    /// The first rule that names this mount point.
    pub(super) fn first(&self, mount_point: &Raw, device: Option<&BlockDevice>) -> Option<&Rule> {
        self.disks
            .iter()
            .find(|rule| rule.names(mount_point, device))
    }

    /// The first rule that names exactly this path.
    pub(super) fn exact(&self, path: &Raw) -> Option<&Rule> {
        self.exact_paths()
            .find(|(_, exact)| *exact == path)
            .map(|(rule, _)| rule)
    }

    /// Every exact path of every rule, with its rule; the first rule wins.
    pub(super) fn exact_paths(&self) -> impl Iterator<Item = (&Rule, &Raw)> {
        self.disks
            .iter()
            .flat_map(|rule| rule.exact_paths().map(move |path| (rule, path)))
    }
}

/// Whether a path is absolute and free of `.` and `..`.
pub(super) fn is_plain_absolute(path: &Raw) -> bool {
    path.as_bytes().first() == Some(&b'/')
        && !path
            .as_bytes()
            .split(|byte| *byte == b'/')
            .any(|name| name == b"." || name == b"..")
}
