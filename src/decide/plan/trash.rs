//! What becomes of each trash entry: the second look, the way back, the wipe.

use super::Planner;
use crate::decide::facts::{FileIdentity, Known, RootFacts, TrashFacts};
use crate::decide::guards::{Reason, Refusal};
use crate::decide::manifest::{Manifest, TrashState};
use crate::decide::roots::RootView;
use crate::decide::steps::{Kept, Step, TrashPlace, WipeAuthorization};
use crate::mesos::paths;
use crate::units::Raw;

/// An entry whose data is there, with what is said of its volume now.
struct Look {
    place: Box<TrashPlace>,
    named: bool,
    doubt: Vec<Reason>,
    in_use: Vec<Reason>,
}

impl Planner<'_> {
    pub(super) fn trash(&mut self, view: &RootView<'_>) {
        let root = view.root;
        match &root.trash {
            Known::Known(entries) => {
                for entry in entries {
                    self.entry(view, entry);
                }
            }
            Known::Absent => {}
            Known::Unknown(why) => self.keep(
                None,
                &root.disk,
                root.disk.root.join(paths::VOLUMES),
                false,
                vec![Reason::new(Refusal::ForeignTrash, why.to_string())],
            ),
        }
    }

    fn entry(&mut self, view: &RootView<'_>, entry: &TrashFacts) {
        let root = view.root;
        let manifest = match &entry.manifest {
            Known::Known(manifest) => manifest,
            Known::Absent => {
                return self.keep_foreign(root, entry, "it has no manifest".to_owned());
            }
            Known::Unknown(why) => return self.keep_foreign(root, entry, why.to_string()),
        };
        if let Some(foreign) = self.foreign(entry, manifest) {
            return self.keep_foreign(root, entry, foreign);
        }
        let Some((_, present)) = view.standing(self.facts()) else {
            return self.keep_entry(root, manifest, false, view.reasons.clone());
        };
        let place = |data: Option<FileIdentity>| {
            Box::new(TrashPlace {
                disk: root.disk.clone(),
                root: present.clone(),
                manifest: manifest.clone(),
                data,
            })
        };
        let data = match &entry.data {
            Known::Known(data) if *data == manifest.identity => data.clone(),
            Known::Known(_) => {
                return self.keep_foreign(
                    root,
                    entry,
                    "its data is not the directory that its manifest names".to_owned(),
                );
            }
            Known::Absent => {
                // Nothing was moved, or everything is gone: only the frame is left.
                self.steps.push(Step::Void { entry: place(None) });
                return;
            }
            Known::Unknown(why) => {
                return self.keep_foreign(root, entry, why.to_string());
            }
        };
        if manifest.unconfirmed {
            return self.keep_entry(root, manifest, false, vec![Refusal::Unconfirmed.into()]);
        }

        let mut doubt = Vec::new();
        let named = self.judge.name_reasons(&manifest.volume, &mut doubt);
        self.judge.doubt_reasons(&mut doubt);
        self.judge.hidden_role(&manifest.volume, &mut doubt);
        let mut in_use = Vec::new();
        self.judge
            .use_reasons(&manifest.volume, &entry.location, None, &mut in_use);

        let look = Look {
            place: place(Some(data)),
            named,
            doubt,
            in_use,
        };
        match manifest.state {
            TrashState::Prepared | TrashState::Moved => self.second_look(view, look),
            TrashState::Cleared | TrashState::Wiping => self.last_look(view, look),
        }
    }

    /// Unknown at the second look counts as named; what is named goes back.
    fn second_look(&mut self, view: &RootView<'_>, look: Look) {
        let Look {
            place,
            named,
            mut doubt,
            in_use,
        } = look;
        let manifest = place.manifest.clone();
        if named || !doubt.is_empty() {
            let pending = doubt
                .iter()
                .any(|reason| reason.code == Refusal::PendingOperation);
            if view.occupied(&manifest.volume) {
                doubt.push(Reason::new(
                    Refusal::Contested,
                    format!("{} exists again", view.root.disk.root.join(&manifest.path)),
                ));
                self.keep_entry(view.root, &manifest, true, doubt);
            } else if pending {
                self.keep_entry(view.root, &manifest, true, doubt);
            } else {
                self.steps.push(Step::PutBack { entry: place });
            }
        } else if in_use.is_empty() {
            self.steps.push(Step::Clear { entry: place });
        } else {
            self.keep_entry(view.root, &manifest, true, in_use);
        }
    }

    /// The look before the wipe. From here nothing goes back by itself: what is named by now is
    /// contested.
    fn last_look(&mut self, view: &RootView<'_>, look: Look) {
        let Look {
            place,
            named,
            doubt: mut reasons,
            in_use,
        } = look;
        let manifest = place.manifest.clone();
        if named {
            reasons.push(Refusal::Contested.into());
        }
        reasons.extend(in_use);
        let due = self.due(&manifest);
        if !due {
            let left = manifest
                .retention
                .minus(self.lived().minus(manifest.lived_at));
            reasons.push(Reason::new(Refusal::Retention, format!("{left} left")));
        }
        match &place.data {
            Some(data) if reasons.is_empty() => {
                let authorization = WipeAuthorization::new(
                    manifest.volume.clone(),
                    place.disk.clone(),
                    data.clone(),
                    manifest.evidence.clone(),
                );
                self.steps.push(Step::Wipe {
                    authorization,
                    entry: place,
                });
            }
            Some(_) | None => self.keep_entry(view.root, &manifest, due, reasons),
        }
    }

    /// Whether the entry's time has come. A wipe that began goes on at once.
    fn due(&self, manifest: &Manifest) -> bool {
        match manifest.state {
            TrashState::Wiping => true,
            TrashState::Prepared | TrashState::Moved => false,
            TrashState::Cleared => {
                self.facts().words.purge.contains(&manifest.id)
                    || self.facts().words.wipe.as_ref() == Some(&manifest.volume)
                    || self.lived().minus(manifest.lived_at) >= manifest.retention
            }
        }
    }

    /// Why an entry is none of ours.
    fn foreign(&self, entry: &TrashFacts, manifest: &Manifest) -> Option<String> {
        let facts = self.facts();
        if manifest.id != entry.id {
            return Some(format!("its manifest is of entry {}", manifest.id));
        }
        match &facts.host.machine_id {
            Known::Known(ours) if *ours == manifest.machine_id => {}
            Known::Known(_) => {
                return Some(format!("it was made by machine {}", manifest.machine_id));
            }
            Known::Absent | Known::Unknown(_) => {
                return Some("this host has no readable /etc/machine-id".to_owned());
            }
        }
        (manifest.work_dir != facts.agent.work_dir)
            .then(|| format!("it is of the agent in {}", manifest.work_dir))
    }

    fn keep_entry(
        &mut self,
        root: &RootFacts,
        manifest: &Manifest,
        due: bool,
        mut reasons: Vec<Reason>,
    ) {
        reasons.sort();
        reasons.dedup();
        self.kept.push(Kept {
            volume: Some(manifest.volume.clone()),
            disk: root.disk.clone(),
            path: trash_path(root, &manifest.id.0),
            trash: Some((manifest.id.clone(), manifest.state)),
            due,
            reasons,
        });
    }

    fn keep_foreign(&mut self, root: &RootFacts, entry: &TrashFacts, detail: String) {
        let manifest = entry.manifest.known();
        self.kept.push(Kept {
            volume: manifest.map(|manifest| manifest.volume.clone()),
            disk: root.disk.clone(),
            path: trash_path(root, &entry.id.0),
            trash: manifest.map(|manifest| (entry.id.clone(), manifest.state)),
            due: false,
            reasons: vec![Reason::new(Refusal::ForeignTrash, detail)],
        });
    }
}

fn trash_path(root: &RootFacts, id: &str) -> Raw {
    root.disk.root.join(crate::decide::manifest::TRASH).join(id)
}
