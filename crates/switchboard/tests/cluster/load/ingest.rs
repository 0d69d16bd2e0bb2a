//! Keys, many of them asked for by several callers at once on different nodes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;

use super::{Count, Ground, locked};

const TENANT: &str = "ingest";

const CALLERS: u32 = 4;

/// How many keys a caller asks for together; a third of them nobody has asked for before.
const KEYS: u64 = 75;

/// One try: which key, when, and what was answered.
#[derive(Clone, Copy, Debug)]
struct Try {
    key: u64,
    invoked: Instant,
    answer: Option<Answer>,
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    returned: Instant,
    id: u64,
    new: bool,
}

/// All tries.
#[derive(Debug, Default)]
pub(crate) struct History {
    tries: Mutex<Vec<Try>>,
    next: AtomicU64,
    pub(crate) acknowledged: Count,
}

pub(crate) fn start(ground: &Ground, tasks: &mut JoinSet<()>) -> Arc<History> {
    let history = Arc::new(History::default());
    history.next.store(KEYS, Ordering::Relaxed);
    for _ in 0..CALLERS {
        tasks.spawn(call(ground.clone(), Arc::clone(&history)));
    }
    history
}

fn key(number: u64) -> String {
    let mut text = *b"K-00000-A";
    let mut rest = number;
    for place in (2..7).rev() {
        let digit = u8::try_from(rest % 36).unwrap();
        text[place] = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        rest /= 36;
    }
    String::from_utf8(text.to_vec()).unwrap()
}

/// Streams keys, each stream to another node. What a stream leaves without an answer others ask
/// for again.
async fn call(ground: Ground, history: Arc<History>) {
    while !ground.stopped() {
        let end = history.next.fetch_add(KEYS / 3, Ordering::Relaxed) + KEYS / 3;
        let numbers: Vec<u64> = (end - KEYS..end).collect();
        let keys: Vec<String> = numbers.iter().copied().map(key).collect();
        let mut answers = Vec::new();
        let invoked = Instant::now();
        let streamed = async {
            let client = ground.client(TENANT);
            let mut receipts = client.ingest_stream(tokio_stream::iter(keys)).await?;
            while let Some(receipt) = receipts.next().await {
                let receipt = receipt?;
                history.acknowledged.add();
                let (id, new) = (receipt.id, receipt.new);
                answers.push(Answer { returned: Instant::now(), id, new });
            }
            Ok::<(), switchboard_client::Error>(())
        };
        // Whether it broke is told by what has no answer.
        let _ = tokio::time::timeout(Duration::from_secs(10), streamed).await;
        let answers = answers.into_iter().map(Some).chain(std::iter::repeat(None));
        let tries = numbers.into_iter().zip(answers);
        locked(&history.tries).extend(tries.map(|(key, answer)| Try { key, invoked, answer }));
        ground.pause(Duration::from_millis(200)).await;
    }
}

/// What is wrong with the answers for one key, and the id that it has.
fn judge(tries: &[Try]) -> Result<Option<u64>, String> {
    let answers = || tries.iter().filter_map(|it| Some((it.invoked, it.answer?)));
    let Some((_, first)) = answers().min_by_key(|(_, it)| it.returned) else { return Ok(None) };
    if let Some((_, other)) = answers().find(|(_, it)| it.id != first.id) {
        return Err(format!("has the ids {} and {}", first.id, other.id));
    }
    let new = answers().filter(|(_, it)| it.new).count();
    if 1 < new {
        return Err(format!("was new {new} times"));
    }
    if let Some((invoked, _)) = answers().find(|(_, it)| it.new)
        && first.returned < invoked
    {
        return Err("was new after it was known".to_owned());
    }
    let unknown = |it: &Try| it.answer.is_none() && it.invoked < first.returned;
    if new == 0 && !tries.iter().any(unknown) {
        return Err("was never new".to_owned());
    }
    Ok(Some(first.id))
}

/// Numbers grow with time: a key that was new before another was asked for has the lesser one.
fn judge_order(tries: &[Try]) -> Vec<String> {
    let new = tries.iter().filter_map(|it| Some((it, it.answer.filter(|answer| answer.new)?)));
    let mut new: Vec<_> = new.collect();
    new.sort_by_key(|(_, answer)| answer.id);
    let mut wrong = Vec::new();
    let mut latest: Option<(Instant, u64)> = None;
    for (it, Answer { returned, id, .. }) in new {
        if let Some((invoked, lesser)) = latest
            && returned < invoked
        {
            wrong.push(format!("{id} was given before {lesser} was asked for"));
        }
        latest = latest.max(Some((it.invoked, id)));
    }
    wrong
}

/// Looks at the answers, and asks every node for every key again.
pub(crate) async fn check(ground: &Ground, history: &History) {
    for wrong in judge_order(&locked(&history.tries)) {
        ground.wrong(wrong);
    }
    let mut by_key: BTreeMap<u64, Vec<Try>> = BTreeMap::new();
    for it in locked(&history.tries).iter() {
        by_key.entry(it.key).or_default().push(*it);
    }
    let (mut ids, mut known) = (HashMap::new(), Vec::new());
    for (number, tries) in &by_key {
        match judge(tries) {
            Ok(None) => {}
            Ok(Some(id)) => {
                if let Some(other) = ids.insert(id, number) {
                    ground.wrong(format!("{} and {} have the id {id}", key(*other), key(*number)));
                }
                known.push((key(*number), id));
            }
            Err(what) => ground.wrong(format!("{} {what}", key(*number))),
        }
    }
    for url in &ground.nodes {
        let client = switchboard_client::Client::new(url).unwrap().with_tenant(TENANT);
        for known in known.chunks(10_000) {
            let keys: Vec<&str> = known.iter().map(|(key, _)| key.as_str()).collect();
            let receipts = match client.ingest_batch(&keys).await {
                Ok(receipts) => receipts,
                // It may have no role for it.
                Err(error) if error.code() == "unavailable" => break,
                Err(error) => panic!("{error}"),
            };
            for ((key, id), receipt) in known.iter().zip(receipts) {
                if receipt.new || receipt.id != *id {
                    ground.wrong(format!("{key} was {id}, and is {receipt:?}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When it was asked, when answered, with which id, and whether it was new.
    type Row = (u64, Option<(u64, u64, bool)>);

    fn tries(rows: &[Row]) -> Vec<Try> {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let tries = rows.iter().map(|&(invoked, answer)| Try {
            key: 0,
            invoked: at(invoked),
            answer: answer.map(|(returned, id, new)| Answer { returned: at(returned), id, new }),
        });
        tries.collect()
    }

    fn judged(rows: &[Row]) -> Result<Option<u64>, String> {
        judge(&tries(rows))
    }

    #[test]
    fn the_order_is_judged() {
        let in_order = [(0, Some((5, 1, true))), (4, Some((6, 2, true))), (7, Some((9, 3, true)))];
        assert_eq!(judge_order(&tries(&in_order)), Vec::<String>::new());
        let at_once = [(0, Some((5, 2, true))), (4, Some((6, 1, true)))];
        assert_eq!(judge_order(&tries(&at_once)), Vec::<String>::new());
        let wrong = [(0, Some((5, 2, true))), (6, Some((9, 1, true)))];
        assert_eq!(judge_order(&tries(&wrong)), ["2 was given before 1 was asked for"]);
    }

    #[test]
    fn answers_are_judged() {
        assert_eq!(judged(&[(0, None)]), Ok(None));
        assert_eq!(judged(&[(0, Some((1, 7, true))), (0, Some((2, 7, false)))]), Ok(Some(7)));
        // The one that recorded it may be answered last.
        assert_eq!(judged(&[(0, Some((1, 7, false))), (0, Some((2, 7, true)))]), Ok(Some(7)));
        assert_eq!(judged(&[(0, None), (3, Some((4, 7, false)))]), Ok(Some(7)));
        for (tries, says) in [
            (&[(0, Some((1, 7, true))), (2, Some((3, 8, false)))][..], "the ids 7 and 8"),
            (&[(0, Some((1, 7, true))), (0, Some((3, 7, true)))], "new 2 times"),
            (&[(0, None), (0, Some((1, 7, false))), (2, Some((3, 7, true)))], "after it was known"),
            (&[(0, Some((1, 7, false))), (2, None)], "never new"),
        ] {
            let wrong = judged(tries).unwrap_err();
            assert!(wrong.contains(says), "{wrong}");
        }
    }

    #[test]
    fn keys_are_keys() {
        assert_eq!((key(0), key(36 + 35)), ("K-00000-A".to_owned(), "K-0001z-A".to_owned()));
    }
}
