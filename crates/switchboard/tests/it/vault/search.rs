//! Finds texts wherever they may lie, in whatever form: in files, and in the memory of a process.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::Path,
};

use base64ct::{Base64, Base64Url, Encoding as _};

/// A text that stands nowhere else, another for each name.
pub(super) fn canary(name: &str) -> String {
    // FNV-1a to begin with, then SplitMix64.
    let begin = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut state = begin;
    let letter = |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        char::from(letters[usize::try_from((mixed ^ (mixed >> 31)) % 62).unwrap()])
    };
    (0..48).map(letter).collect()
}

/// What is looked for.
#[derive(Debug)]
struct Needle {
    /// The text that it is of.
    of: String,
    /// Which part of it, and in which form.
    what: String,
    bytes: Vec<u8>,
}

/// Looks for many texts at once.
pub(super) struct Search {
    needles: Vec<Needle>,
    /// By their first two bytes, which of the needles begin so.
    begin: BTreeMap<usize, Vec<usize>>,
    begins: Vec<bool>,
}

/// A text was found.
#[derive(Clone, Debug)]
pub(super) struct Hit {
    pub(super) of: String,
    /// Which part of it, and in which form.
    what: String,
    /// Where it is.
    place: String,
    /// What stands around it.
    around: String,
}

impl Search {
    pub(super) fn new() -> Self {
        Self { needles: Vec::new(), begin: BTreeMap::new(), begins: vec![false; 1 << 16] }
    }

    /// A text in any form, each part of 16 bytes on its own: what is freed is written over in its
    /// first bytes only.
    pub(super) fn text(mut self, name: &str, text: &str) -> Self {
        for (index, part) in text.as_bytes().chunks_exact(16).enumerate() {
            for (form, bytes) in forms(part) {
                self = self.needle(name, &format!("from {} {form}", index * 16), bytes);
            }
        }
        self
    }

    /// These bytes as they are.
    pub(super) fn bytes(self, name: &str, bytes: Vec<u8>) -> Self {
        self.needle(name, "raw", bytes)
    }

    fn needle(mut self, of: &str, what: &str, bytes: Vec<u8>) -> Self {
        let begin = usize::from(bytes[0]) << 8 | usize::from(bytes[1]);
        self.begins[begin] = true;
        self.begin.entry(begin).or_default().push(self.needles.len());
        self.needles.push(Needle { of: of.to_owned(), what: what.to_owned(), bytes });
        self
    }

    /// Where what is looked for is in these bytes.
    pub(super) fn look(&self, bytes: &[u8], place: impl Fn(usize) -> String) -> Vec<Hit> {
        let mut hits: Vec<Hit> = Vec::new();
        let mut told = 0;
        let mut next = 0;
        while let Some(pair) = bytes.get(next..next + 2) {
            let at = next;
            // Most of a memory is empty, and nothing that is looked for begins so.
            next += if bytes[at..].starts_with(&[0; 256]) { 256 } else { 1 };
            let begin = usize::from(pair[0]) << 8 | usize::from(pair[1]);
            if !self.begins[begin] {
                continue;
            }
            for needle in self.begin[&begin].iter().map(|&index| &self.needles[index]) {
                if bytes[at..].starts_with(&needle.bytes) {
                    // What goes on where the last began is one and the same.
                    let goes_on =
                        hits.last().is_some_and(|last| at < told + 64 && last.of == needle.of);
                    told = at;
                    if goes_on {
                        continue;
                    }
                    let end = (at + needle.bytes.len() + 64).min(bytes.len());
                    let around = bytes[at.saturating_sub(64)..end].escape_ascii().to_string();
                    let (of, what) = (needle.of.clone(), needle.what.clone());
                    hits.push(Hit { of, what, place: place(at), around });
                }
            }
        }
        hits
    }

    /// All files below a folder.
    pub(super) fn files(&self, folder: &Path) -> Vec<Hit> {
        let mut hits = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                hits.extend(self.files(&path));
            } else {
                let place = |at| format!("{} at {at}", path.display());
                hits.extend(self.look(&fs::read(&path).unwrap(), place));
            }
        }
        hits
    }

    /// What a process has in memory, as a core dump would have it: all mappings that can be read,
    /// as far as there is something in them.
    pub(super) fn memory(&self, process: u32, after: &str) -> Vec<Hit> {
        const PAGE: u64 = 4_096;
        let proc = format!("/proc/{process}");
        let open = |name: &str| {
            let path = format!("{proc}/{name}");
            File::open(&path).unwrap_or_else(|error| {
                panic!("{path} can't be read, so nothing is known of the memory: {error}")
            })
        };
        let maps = fs::read_to_string(format!("{proc}/maps")).unwrap();
        let (memory, pages) = (open("mem"), open("pagemap"));
        let (mut hits, mut read, mut unread) = (Vec::new(), 0, Vec::new());
        for map in maps.lines() {
            let mut words = map.split_whitespace();
            let range = words.next().unwrap().split_once('-').unwrap();
            let address = |text| u64::from_str_radix(text, 16).unwrap();
            let (from, to) = (address(range.0), address(range.1));
            // What the kernel shows of itself holds nothing of the process.
            let kernel =
                ["[vvar]", "[vvar_vclock]", "[vsyscall]"].iter().any(|it| map.ends_with(it));
            if kernel || !words.next().unwrap().starts_with('r') {
                continue;
            }
            let mut there = vec![0; usize::try_from((to - from) / PAGE * 8).unwrap()];
            pages.read_exact_at(&mut there, from / PAGE * 8).unwrap();
            // Present, or swapped out.
            let (there, _) = there.as_chunks();
            let there = there.iter().map(|&word| u64::from_ne_bytes(word) >> 62 != 0);
            let there: Vec<bool> = there.collect();
            let mut page = 0;
            while let Some(first) = there[page..].iter().position(|&is| is).map(|at| page + at) {
                let run = there[first..].iter().position(|&is| !is);
                let end = run.map_or(there.len(), |run| first + run);
                let begin = from + first as u64 * PAGE;
                let mut bytes = vec![0; (end - first) * usize::try_from(PAGE).unwrap()];
                match memory.read_exact_at(&mut bytes, begin) {
                    Ok(()) => {
                        read += bytes.len();
                        let place =
                            |at| format!("after {after} at {:x} in {map}", begin + at as u64);
                        hits.extend(self.look(&bytes, place));
                    }
                    // Some are gone since the maps were read.
                    Err(error) => unread.push(format!("{map}: {error}")),
                }
                page = end;
            }
        }
        assert!(1 << 20 < read, "only {read} bytes of memory could be read: {unread:?}");
        assert!(unread.len() < 4, "these could not be read: {unread:?}");
        hits
    }
}

/// A text as it may be written somewhere.
fn forms(text: &[u8]) -> Vec<(String, Vec<u8>)> {
    let each = |write: fn(u8) -> String| {
        text.iter().map(|&byte| write(byte)).collect::<String>().into_bytes()
    };
    let mut forms = vec![
        ("raw".to_owned(), text.to_vec()),
        ("in hex".to_owned(), each(|byte| format!("{byte:02x}"))),
        ("in HEX".to_owned(), each(|byte| format!("{byte:02X}"))),
        ("escaped".to_owned(), each(|byte| format!("\\u{byte:04x}"))),
        ("ESCAPED".to_owned(), each(|byte| format!("\\u{byte:04X}"))),
        ("in per cent".to_owned(), each(|byte| format!("%{byte:02X}"))),
        ("UTF-16LE".to_owned(), text.iter().flat_map(|&byte| [byte, 0]).collect()),
        ("as numbers".to_owned(), each(|byte| format!("{byte}, "))),
    ];
    for before in 0..3 {
        // What stands before and behind is not known: only the characters that are all of the text.
        let padded = [&vec![0; before], text].concat();
        let (from, to) = (usize::from(0 < before) * 4, padded.len() / 3 * 4);
        let base64 = Base64::encode_string(&padded).as_bytes()[from..to].to_vec();
        let base64url = Base64Url::encode_string(&padded).as_bytes()[from..to].to_vec();
        if base64 != base64url {
            forms.push((format!("in base64url, {before} behind"), base64url));
        }
        forms.push((format!("in base64, {before} behind"), base64));
    }
    forms
}

/// Fails with what was found.
#[track_caller]
pub(super) fn assert_none(mut hits: Vec<Hit>) {
    let count = hits.len();
    hits.truncate(100);
    let told: Vec<String> = hits
        .iter()
        .map(|Hit { of, what, place, around }| format!("{of}, {what}\n    {place}\n    {around}"))
        .collect();
    assert!(count == 0, "{count} places hold what nobody is to keep:\n{}", told.join("\n"));
}

#[test]
fn a_text_is_found_in_every_form() {
    let text = canary("a test");
    let search = Search::new().text("it", &text);
    let base64 = |text: &str| Base64::encode_string(text.as_bytes());
    let each = |write: fn(u8) -> String| text.bytes().map(write).collect::<Vec<_>>().concat();
    for written in [
        text.clone(),
        text[16..32].to_owned(),
        base64(&text),
        base64(&format!("x{text}")),
        base64(&format!("xy{text}yz")),
        each(|byte| format!("{byte:02x}")),
        each(|byte| format!("\\u{byte:04X}")),
        text.chars().flat_map(|it| [it, '\0']).collect(),
        format!("{:?}", text.as_bytes()),
    ] {
        assert!(!search.look(written.as_bytes(), |at| at.to_string()).is_empty(), "{written}");
    }
    assert!(search.look(canary("another").as_bytes(), |at| at.to_string()).is_empty());
}
