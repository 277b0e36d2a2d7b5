//! What is odd about the rules.

use std::collections::BTreeSet;

use super::DiskVerdict;
use super::judge::Judge;
use super::rules::{Patterns, Rule};
use crate::decide::facts::BlockDevice;
use crate::mesos::disk::DiskType;
use crate::units::Raw;

/// A name of a device that patterns are for.
type NameOf = fn(&BlockDevice) -> Option<&Raw>;

impl Judge<'_> {
    /// What is odd about the rules.
    pub(super) fn warnings(&self, disks: &[DiskVerdict]) -> Vec<String> {
        let mut warnings = Vec::new();
        self.unread_sources(&mut warnings);
        for rule in self.rules.disks.iter().filter(|rule| rule.is_configured()) {
            self.idle_patterns(rule, &mut warnings);
        }
        let mut named = BTreeSet::new();
        for (rule, path) in self.rules.exact_paths() {
            if !rule.is_configured() {
                warnings.push(format!(
                    "no [[disks]] rule names the {} disk {path}, which the agent has; it is kept as \
                     it is. To withdraw it, name it in discovery.exclude",
                    rule.kind
                ));
                continue;
            }
            if *path == self.input.rules.work_dir {
                warnings.push(format!(
                    "[[disks]] rule {} names agent.work_dir {path}, which is the ROOT disk; \
                     ignoring it there",
                    rule.number
                ));
            } else if !named.insert(path) {
                warnings.push(format!(
                    "[[disks]] rule {} names {path} once more; the first rule holds",
                    rule.number
                ));
            }
        }
        for row in disks {
            let (Some(_), Some(disk), Some(mount)) = (row.offer(), &row.disk, &row.mount) else {
                continue;
            };
            let is_verified = self
                .input
                .ledger
                .root(disk)
                .is_some_and(|entry| entry.fingerprint.is_some() || entry.place.is_some());
            let is_alone = disk.kind == DiskType::Path && self.is_of_agent(disk) && !is_verified;
            if is_alone && self.os.contains(&mount.device) {
                warnings.push(format!(
                    "{disk} lies on the system's own disk, and is taken so because the agent has \
                     it; if its own disk is only not mounted, mount that before the agent restarts"
                ));
            }
        }
        for entry in &self.input.ledger.roots {
            let is_known = entry.advertised.is_some() && entry.disk.kind != DiskType::Root;
            let is_named = disks
                .iter()
                .any(|row| row.disk.as_ref() == Some(&entry.disk));
            if is_known && !is_named {
                warnings.push(format!(
                    "{} was advertised, and no rule names it any more; it is no longer offered",
                    entry.disk
                ));
            }
        }
        warnings
    }

    fn unread_sources(&self, warnings: &mut Vec<String>) {
        let host = self.host();
        let sources = [
            ("block devices", host.devices.why()),
            ("swap", host.swaps.why()),
            ("/etc/fstab", host.fstab.why()),
        ];
        for (name, why) in sources {
            if let Some(why) = why {
                warnings.push(format!("{name} could not be read: {why}"));
            }
        }
    }

    /// Patterns that are no globs, or that match nothing on this host.
    fn idle_patterns(&self, rule: &Rule, warnings: &mut Vec<String>) {
        let host = self.host();
        let mut note = |list: &str, text: &str, is_valid: bool| {
            warnings.push(if is_valid {
                format!(
                    "[[disks]] rule {}: no_match: \"{text}\" in {list} matches nothing here",
                    rule.number
                )
            } else {
                format!(
                    "[[disks]] rule {}: \"{text}\" in {list} is not a glob, ignoring it",
                    rule.number
                )
            });
        };
        for pattern in rule.paths.iter().filter(|pattern| !pattern.is_exact()) {
            let mut mounts = host.mounts.entries().iter();
            if !mounts.any(|mount| pattern.matches(&mount.mount_point)) {
                note("paths", &pattern.text, pattern.is_valid());
            }
        }
        let lists: [(&str, &Patterns, NameOf); 2] = [
            ("labels", &rule.labels, BlockDevice::label),
            ("models", &rule.models, |device| device.model.as_ref()),
        ];
        for (list, patterns, name) in lists {
            for pattern in patterns.iter() {
                let mut names = host.devices().iter().filter_map(name);
                if !names.any(|name| pattern.matches(name)) {
                    note(list, &pattern.text, pattern.is_valid());
                }
            }
        }
        for pattern in rule.devices.iter() {
            if !host.devices().iter().any(|device| pattern.fits(device)) {
                note("devices", &pattern.text, pattern.is_valid());
            }
        }
    }
}
