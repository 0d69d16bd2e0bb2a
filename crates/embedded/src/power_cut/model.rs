//! What is on the simulated disk: what is durable, and what is not yet.

use std::collections::{BTreeMap, BTreeSet};

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// What a disk holds once its machine is off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) folders: BTreeSet<String>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Write {
        file: usize,
        at: usize,
        bytes: Vec<u8>,
    },
    SetLen {
        file: usize,
        len: usize,
    },
    Sync {
        file: usize,
    },
    CreateFolder {
        name: String,
    },
    Name {
        folder: String,
        change: Name,
    },
    SyncFolder {
        folder: String,
    },
    /// Entries were acknowledged with these ids.
    Acked(Vec<(switchboard_core::ingest::Entry, u64)>),
}

/// A change to the names in a folder.
#[derive(Clone, Debug)]
pub(super) enum Name {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
    Folder,
}

type Names = BTreeMap<String, usize>;

impl Name {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Create(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
            Self::Folder => {}
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Content {
    durable: Vec<u8>,
    now: Vec<u8>,
    /// Every length that the file has had since its last sync, in order.
    lens: Vec<usize>,
    /// Every state that a sector has had since the last sync, in order.
    sectors: BTreeMap<usize, Vec<Vec<u8>>>,
}

#[derive(Clone, Debug, Default)]
struct Folder {
    durable: Names,
    now: Names,
    pending: Vec<Name>,
    /// Where among the changes of the folder around it this one was made; none once that is
    /// durable.
    made: Option<usize>,
}

/// The folder around a folder; the top is around itself.
fn around(folder: &str) -> &str {
    folder.rsplit_once('/').map_or("", |(around, _)| around)
}

/// The disk.
#[derive(Clone, Debug)]
pub(super) struct Model {
    contents: Vec<Content>,
    folders: BTreeMap<String, Folder>,
}

/// Something that a power cut may leave in any of several states.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    Names(String),
    Len(usize),
    Sector(usize, usize),
}

/// The folder and the name of a path.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

impl Content {
    fn mark(&mut self, from: usize, to: usize) {
        for sector in from / SECTOR..to.div_ceil(SECTOR) {
            let start = (sector * SECTOR).min(self.now.len());
            let end = (start + SECTOR).min(self.now.len());
            let mut state = self.now[start..end].to_vec();
            state.resize(SECTOR, 0);
            self.sectors.entry(sector).or_default().push(state);
        }
    }

    fn set_len(&mut self, len: usize) {
        let before = self.now.len();
        self.now.resize(len, 0);
        self.lens.push(len);
        if len < before {
            self.mark(len, before);
        }
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
            self.lens.push(end);
        }
        self.now[at..end].copy_from_slice(bytes);
        self.mark(at, end);
    }

    fn sync(&mut self) {
        self.durable.clone_from(&self.now);
        self.lens.clear();
        self.sectors.clear();
    }
}

impl Model {
    pub(super) fn new(image: &Image) -> Self {
        let mut model = Self { contents: Vec::new(), folders: BTreeMap::new() };
        model.folders.insert(String::new(), Folder::default());
        for folder in &image.folders {
            model.folders.insert(folder.clone(), Folder::default());
        }
        for (path, bytes) in &image.files {
            let (folder, name) = split(path);
            let file = model.contents.len();
            let content = Content { durable: bytes.clone(), now: bytes.clone(), ..<_>::default() };
            model.contents.push(content);
            let folder = model.folders.get_mut(folder).unwrap();
            folder.durable.insert(name.to_owned(), file);
            folder.now.insert(name.to_owned(), file);
        }
        model
    }

    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::Write { file, at, bytes } => self.contents[*file].write(*at, bytes),
            Op::SetLen { file, len } => self.contents[*file].set_len(*len),
            Op::Sync { file } => self.contents[*file].sync(),
            Op::CreateFolder { name } => {
                let around = self.folders.get_mut(around(name)).unwrap();
                around.pending.push(Name::Folder);
                let made = Some(around.pending.len());
                self.folders.insert(name.clone(), Folder { made, ..Folder::default() });
            }
            Op::Name { folder, change } => {
                if let Name::Create(_, file) = change
                    && self.contents.len() <= *file
                {
                    self.contents.resize(file + 1, Content::default());
                }
                let folder = self.folders.get_mut(folder).unwrap();
                change.apply(&mut folder.now);
                folder.pending.push(change.clone());
            }
            Op::SyncFolder { folder } => {
                let synced = self.folders.get_mut(folder).unwrap();
                synced.durable.clone_from(&synced.now);
                synced.pending.clear();
                let within = self.folders.iter_mut().filter(|(name, _)| around(name) == folder);
                within.for_each(|(_, folder)| folder.made = None);
            }
            Op::Acked(_) => {}
        }
    }

    pub(super) fn next_file(&self) -> usize {
        self.contents.len()
    }

    pub(super) fn has_folder(&self, folder: &str) -> bool {
        self.folders.contains_key(folder)
    }

    pub(super) fn names(&self, folder: &str) -> Option<&Names> {
        self.folders.get(folder).map(|folder| &folder.now)
    }

    pub(super) fn file(&self, path: &str) -> Option<usize> {
        let (folder, name) = split(path);
        self.folders.get(folder)?.now.get(name).copied()
    }

    pub(super) fn bytes(&self, file: usize) -> &[u8] {
        &self.contents[file].now
    }

    /// What all files take.
    pub(super) fn used(&self) -> usize {
        let files = self.folders.values().flat_map(|folder| folder.now.values());
        files.map(|&file| self.contents[file].now.len()).sum()
    }

    /// What a power cut may leave in one of several states now, and in how many each.
    pub(super) fn units(&self) -> Vec<(Unit, usize)> {
        let mut units = Vec::new();
        let mut files = BTreeSet::new();
        for (name, folder) in &self.folders {
            if !folder.pending.is_empty() {
                units.push((Unit::Names(name.clone()), folder.pending.len() + 1));
            }
            files.extend(folder.durable.values().chain(folder.now.values()).copied());
            files.extend(folder.pending.iter().filter_map(|change| match change {
                Name::Create(_, file) => Some(*file),
                _ => None,
            }));
        }
        for file in files {
            let content = &self.contents[file];
            if !content.lens.is_empty() {
                units.push((Unit::Len(file), content.lens.len() + 1));
            }
            let sectors = content.sectors.iter();
            units.extend(sectors.map(|(&at, states)| (Unit::Sector(file, at), states.len() + 1)));
        }
        units
    }

    /// What is left when each unit is in the chosen state: 0 is what is durable.
    pub(super) fn image(&self, chosen: &BTreeMap<Unit, usize>) -> Image {
        let state = |unit: Unit| chosen.get(&unit).copied().unwrap_or(0);
        let mut image = Image::default();
        let is_there = |name: &str| {
            let made = self.folders.get(name).and_then(|folder| folder.made);
            made.is_none_or(|made| made <= state(Unit::Names(around(name).to_owned())))
        };
        for (name, folder) in &self.folders {
            if !is_there(name) || !is_there(around(name)) {
                continue;
            }
            if !name.is_empty() {
                image.folders.insert(name.clone());
            }
            let mut names = folder.durable.clone();
            for change in &folder.pending[..state(Unit::Names(name.clone()))] {
                change.apply(&mut names);
            }
            for (file_name, file) in names {
                image.files.insert(join(name, &file_name), self.content(file, chosen));
            }
        }
        image
    }

    fn content(&self, file: usize, chosen: &BTreeMap<Unit, usize>) -> Vec<u8> {
        let content = &self.contents[file];
        let mut bytes = content.durable.clone();
        let len = match chosen.get(&Unit::Len(file)) {
            None | Some(0) => bytes.len(),
            Some(&state) => content.lens[state - 1],
        };
        let sectors = Unit::Sector(file, 0)..=Unit::Sector(file, usize::MAX);
        for (unit, &state) in chosen.range(sectors) {
            if let (Unit::Sector(_, sector), 1..) = (unit, state) {
                let (start, end) = (sector * SECTOR, (sector + 1) * SECTOR);
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[start..end].copy_from_slice(&content.sectors[sector][state - 1]);
            }
        }
        bytes.resize(len, 0);
        bytes
    }

    /// The files that have a name in the image of these states.
    pub(super) fn named(&self, chosen: &BTreeMap<Unit, usize>) -> BTreeSet<usize> {
        let mut named = BTreeSet::new();
        for (name, folder) in &self.folders {
            let state = chosen.get(&Unit::Names(name.clone())).copied().unwrap_or(0);
            let mut left = folder.durable.clone();
            folder.pending[..state].iter().for_each(|change| change.apply(&mut left));
            named.extend(left.into_values());
        }
        named
    }

    /// What is left when everything, or nothing, of what is not durable survives.
    pub(super) fn whole(&self, all: bool) -> Image {
        let units = self.units().into_iter();
        let state = |count: usize| if all { count - 1 } else { 0 };
        self.image(&units.map(|(unit, count)| (unit, state(count))).collect())
    }
}
