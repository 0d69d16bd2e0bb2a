//! Lists, page by page.

use std::{collections::BTreeMap, sync::Arc};

use switchboard_core::{
    Tenant,
    vault::{Expected, Listed, Outcome, Page, Range, RecordId, Records},
};

use super::{change, delete, found, id, put_next, tenant};

/// From the first with this prefix.
pub(super) fn range(prefix: &str, records_max: usize, bytes_max: usize) -> Range {
    Range { prefix: prefix.into(), after: None, records_max, bytes_max }
}

/// Whether a page is one of this range, where these are all of it.
///
/// How many bytes a store counts for a record is its own; they are at least those of the sealed
/// value. Where they are no limit, a page has as many records as were asked for.
fn is_page(page: &Page, range: &Range, all: &[Listed]) {
    let Page { listed, next } = page;
    assert!(all.starts_with(listed), "{range:?} of {all:?} begins with {listed:?}");
    assert!(listed.len() <= range.records_max, "{range:?}: {}", listed.len());
    assert!(!listed.is_empty() || all.is_empty(), "{range:?}: at least one");
    let bytes = |listed: &Listed| listed.found.record().sealed.as_bytes().len();
    if let Some((_, before)) = listed.split_last() {
        let full = before.iter().map(bytes).sum::<usize>();
        assert!(before.is_empty() || full < range.bytes_max, "{range:?}: {full} bytes");
    }
    if range.bytes_max == usize::MAX {
        assert_eq!(listed.len(), all.len().min(range.records_max), "{range:?}");
    }
    let more = all.get(listed.len());
    assert_eq!(next.is_some(), more.is_some(), "{range:?}: none at the end");
    if let (Some(next), Some(more)) = (next, more) {
        let last = &listed[listed.len() - 1].id;
        assert!(last <= next && *next < more.id, "{range:?}: {last:?}, {next:?}, {more:?}");
    }
}

/// Reads a range to its end, of which these are all.
pub(super) async fn check(
    records: &Arc<dyn Records>,
    of: Tenant,
    range: &Range,
    mut all: &[Listed],
) {
    let mut range = range.clone();
    loop {
        let page = records.list(of, range.clone()).await.unwrap();
        is_page(&page, &range, all);
        all = &all[page.listed.len()..];
        let Some(next) = page.next else { return };
        range.after = Some(next);
    }
}

/// What was put, by the bytes of the ids.
async fn put_all(records: &Arc<dyn Records>, ids: &[&str]) -> Vec<Listed> {
    let mut all = Vec::new();
    for at in ids {
        all.push(put_next(records, tenant("a"), at).await);
    }
    all.sort_by(|a, b| a.id.as_str().as_bytes().cmp(b.id.as_str().as_bytes()));
    all
}

/// In pages of any size, whichever way they were put.
pub async fn lists_are_in_the_order_of_bytes(records: &Arc<dyn Records>) {
    check(records, tenant("a"), &range("", 10, usize::MAX), &[]).await;
    let ids = [
        "b",
        "a",
        "Z",
        "aa",
        "a ",
        "a\u{10ffff}",
        "é",
        "e\u{301}",
        "z",
        "10",
        "9",
        "~",
        "\u{a0}",
        "\u{ffff}",
        "\u{10000}",
        "🦀",
        "A",
        "a.a",
        "a/a",
        " ",
        "-",
        &"x".repeat(256),
        "x",
    ];
    let all = put_all(records, &ids).await;
    assert_eq!(all.len(), ids.len());
    for records_max in [1, 2, 3, 7, all.len() - 1, all.len(), 1_000] {
        for bytes_max in [usize::MAX, 0, 1, 114, 115, 400, 1_000_000] {
            check(records, tenant("a"), &range("", records_max, bytes_max), &all).await;
        }
    }
}

/// Nothing is special in it, and what stands just before or behind doesn't begin with it.
pub async fn a_prefix_is_taken_as_it_is_written(records: &Arc<dyn Records>) {
    let ids = ". .. .a a a. a.b a.b.c a/b a-b ab abc aB A % %a a% a%b _ _a a_ a_b a^b a`b [ [a] \
               a[b] a] $ $a a$b a#b \\ a\\b a?b a>b a'b a\"b k k~ l m é éa ê è\u{10ffff} e \
               z\u{10ffff} z\u{10ffff}a z\u{10fffe} { \u{10ffff} \u{10ffff}\u{10ffff} \
               \u{10ffff}a \u{ffff} \u{10000} \u{d7ff} \u{d7ff}a \u{e000} ~ \u{a0}";
    let ids: Vec<&str> = ids.split(' ').chain(["l ", " ", " a"]).collect();
    let all = put_all(records, &ids).await;
    let more = ["", "b", "a.b.c.d", "\u{10fffe}", &"a".repeat(256), "aa", "a\u{10ffff}", "%%"];
    for prefix in ids.iter().chain(&more) {
        let begins = |listed: &&Listed| listed.id.as_str().starts_with(*prefix);
        let own: Vec<Listed> = all.iter().filter(begins).cloned().collect();
        for (records_max, bytes_max) in [(1, usize::MAX), (3, usize::MAX), (100, 200)] {
            check(records, tenant("a"), &range(prefix, records_max, bytes_max), &own).await;
        }
    }
}

/// Whether it is there or not, and never outside of the prefix.
pub async fn a_list_begins_behind_any_id(records: &Arc<dyn Records>) {
    let ids = [
        "a",
        "b",
        "k",
        "k.",
        "k.1",
        "k.10",
        "k.2",
        "k.é",
        "k.\u{10ffff}",
        "k/",
        "l",
        "z",
        "\u{10ffff}",
    ];
    let all = put_all(records, &ids).await;
    let others = ["A", "aa", "j", "k-", "k.0", "k.1 ", "k.11", "k.3", "k.z", "k0", "m", "~"];
    let last = "\u{10ffff}".repeat(64);
    for after in ids.iter().chain(&others).chain([&last.as_str()]).map(|at| id(at)) {
        for prefix in ["", "k", "k.", "k.1", "k.\u{10ffff}", "\u{10ffff}", "none"] {
            let asked = |it: &&Listed| it.id.as_str().starts_with(prefix) && after < it.id;
            let own: Vec<Listed> = all.iter().filter(asked).cloned().collect();
            for records_max in [1, 2, 100] {
                let range = range(prefix, records_max, usize::MAX);
                let range = Range { after: Some(after.clone()), ..range };
                check(records, tenant("a"), &range, &own).await;
            }
        }
    }
}

/// Whatever is put, replaced and deleted between two pages.
pub async fn pages_lose_nothing_that_stays(records: &Arc<dyn Records>) {
    let of = tenant("a");
    for (records_max, bytes_max) in [(1, usize::MAX), (4, usize::MAX), (100, 300)] {
        for number in 0..30 {
            put_next(records, of, &format!("k{number:02}")).await;
        }
        let mut range = range("k", records_max, bytes_max);
        let mut seen: BTreeMap<RecordId, u32> = BTreeMap::new();
        let mut round = 0;
        loop {
            let page = records.list(of, range.clone()).await.unwrap();
            assert!(page.listed.is_sorted_by(|a, b| a.id < b.id));
            for listed in &page.listed {
                assert!(range.after.as_ref().is_none_or(|after| *after < listed.id));
                *seen.entry(listed.id.clone()).or_default() += 1;
            }
            let Some(next) = page.next else { break };
            range.after = Some(next.clone());
            // What is replaced stays; what is odd goes, behind the page, at its end and before it.
            put_next(records, of, &format!("k{:02}", (7 * round) % 15 * 2)).await;
            let odd = |number: u32| format!("k{:02}", number % 15 * 2 + 1);
            for gone in [odd(round), odd(round + 8), next.to_string()] {
                if gone.as_bytes()[2] % 2 == 1 || gone.contains('+') {
                    remove(records, &gone).await;
                }
            }
            put_next(records, of, &format!("k{:02}+", (11 * round) % 30)).await;
            if !next.as_str().contains('+') {
                put_next(records, of, &format!("{next}+")).await;
            }
            round += 1;
        }
        let even = (0..30).step_by(2).map(|number| id(&format!("k{number:02}")));
        for stays in even {
            assert_eq!(seen.get(&stays), Some(&1), "{stays} in pages of {records_max}");
        }
        assert!(seen.values().all(|&times| times == 1), "{seen:?}");
    }
}

async fn remove(records: &Arc<dyn Records>, at: &str) {
    if let Some(record) = found(records, at).await {
        let gone = delete(at, Expected::Version(record.version));
        assert_eq!(change(records, gone).await, Outcome::Done, "{at}");
    }
}
