//! What the database reads for an answer, counted by itself, on tables that it knows nothing of.

use super::*;

/// What was read of a table so far: rows one behind the other, rows by an index, and pages of
/// values that are kept apart.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    in_sequence: u64,
    by_index: u64,
    apart: u64,
}

fn read(server: &switchboard_servers::Postgres, url: &str, table: &str) -> Read {
    let counted = format!(
        "SELECT coalesce(seq_tup_read, 0) || ' ' || coalesce(idx_tup_fetch, 0) || ' ' || \
             coalesce(toast_blks_read, 0) + coalesce(toast_blks_hit, 0) \
         FROM pg_stat_user_tables JOIN pg_statio_user_tables USING (relid) \
         WHERE pg_stat_user_tables.relname = '{table}'"
    );
    let counted = server.sql(url, &counted).unwrap();
    let mut numbers = counted.split_whitespace().map(|it| it.parse().unwrap());
    let mut next = || numbers.next().unwrap();
    Read { in_sequence: next(), by_index: next(), apart: next() }
}

/// Tables grow from nothing, and nobody counts what is in them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_reads_a_table_from_its_beginning() {
    const TENANTS: u64 = 40;
    const EACH: u64 = 250;
    let server = switchboard_servers::Postgres::with(&["autovacuum=off"]).unwrap();
    let opened = opened(server.database().unwrap()).await;
    for part in 0..EACH / 10 {
        let mut changes = Vec::new();
        let version = 1 + 10 * part;
        for (of, number) in (0..TENANTS).flat_map(|of| (0..10).map(move |number| (of, number))) {
            let at = format!("k{:05}", 10 * part + number);
            let record = if number == 0 { expiring(version, 5) } else { record(version, 100) };
            changes.push(put(&format!("t{of}"), &at, Expected::Absent, record));
        }
        let outcomes = opened.records.change(changes).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done));
        let at = format!("k{:05}", 10 * part + 3);
        let next = put("t3", &at, Expected::Version(version), record(version + 1, 100));
        assert_eq!(change(&opened.records, next).await, Outcome::Done);
        assert_eq!(change(&opened.records, delete("t3", &at, version + 1)).await, Outcome::Done);
        assert_eq!(found(&opened.records, "t3", &at).await, None);
        let prefix = format!("k{:03}", part / 10).into();
        let range = Range { prefix, after: None, records_max: 5, bytes_max: usize::MAX };
        assert_eq!(opened.records.list(tenant("t7"), range).await.unwrap().listed.len(), 5);
    }
    assert_eq!(opened.records.expire(Millis(5)).await.unwrap(), TENANTS * EACH / 10);
    opened.store.close().await;
    for table in ["vault_record", "vault_tenant", "vault_profile"] {
        let Read { in_sequence, by_index, .. } = read(&server, &opened.url, table);
        assert_eq!(in_sequence, 0, "{table}");
        // A part is 10 rows of each of 40 tenants, and the few that are looked at one by one.
        assert!(by_index < 3 * TENANTS * EACH, "{table}: {by_index}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_reads_no_more_than_it_tells() {
    const LEN: usize = 200_000;
    let server = switchboard_servers::Postgres::with(&["autovacuum=off"]).unwrap();
    let opened = opened(server.database().unwrap()).await;
    for number in 0..60 {
        let at = format!("k{number:02}");
        let there = put("a", &at, Expected::Absent, record(1, LEN));
        assert_eq!(change(&opened.records, there).await, Outcome::Done);
    }
    opened.store.close().await;
    let before = read(&server, &opened.url, "vault_record");
    let opened = super::opened(opened.url).await;
    for (records_max, bytes_max, told) in
        [(1_000, 1, 1), (1_000, 3 * LEN, 3), (2, usize::MAX, 2), (1_000, 2 * LEN + 1, 3)]
    {
        let range = Range { prefix: "k".into(), after: None, records_max, bytes_max };
        let page = opened.records.list(tenant("a"), range).await.unwrap();
        assert_eq!(page.listed.len(), told);
        assert_eq!(page.next, Some(page.listed[told - 1].id.clone()));
    }
    opened.store.close().await;
    let after = read(&server, &opened.url, "vault_record");
    assert_eq!(after.in_sequence, before.in_sequence);
    // 9 values were told, each in 25 pages and a few of their index; they may be looked at twice.
    let apart = after.apart - before.apart;
    assert!(apart < 2 * 9 * 120, "{apart} pages were read");
    let rows = after.by_index - before.by_index;
    assert!(rows <= 60 + 60 + 3 + 60, "{rows} rows were read");
}
