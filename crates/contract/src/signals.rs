//! The contract of [`Signals`].
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use switchboard_core::signals::{Listener, PAYLOAD_BYTES_MAX, Signals, Subject};
use tokio::time::{Instant, sleep};

/// How long anything may take before a test gives up.
const DEADLINE: Duration = Duration::from_secs(20);

/// Declares one test for each clause of the contract, for what `$open` opens.
///
/// `$open` is an async function that gives something which can be borrowed as
/// `[Arc<dyn Signals>; 3]`: three nodes that are connected, or a guard that also owns what they are
/// connected by.
#[macro_export]
macro_rules! signals {
    ($open:expr) => {
        $crate::signals!(
            $open;
            what_one_tells_all_others_hear_and_he_does_not,
            only_what_is_to_be_heard_is_heard,
            the_order_of_each_who_tells_stays,
            signals_of_any_length_arrive_whole,
            telling_never_waits,
            whoever_begins_to_hear_is_told_that_he_may_have_missed_something,
            the_last_to_listen_is_told,
        );
    };
    ($open:expr; $($clause:ident,)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $clause() {
            let opened = $open().await;
            $crate::signals::$clause(opened.as_ref()).await;
        })+
    };
}

/// Three nodes that are connected.
pub type Nodes = [Arc<dyn Signals>; 3];

/// Keeps what was heard.
#[derive(Debug, Default)]
struct Heard {
    payloads: Mutex<Vec<Vec<u8>>>,
    missed: AtomicU64,
}

/// What begins with this is told until it is heard, and is not kept.
const PROBE: &[u8] = b"probe ";

impl Listener for Heard {
    fn heard(&self, payload: &[u8]) {
        self.payloads.lock().unwrap().push(payload.to_vec());
    }

    fn missed(&self) {
        self.missed.fetch_add(1, Ordering::SeqCst);
    }
}

impl Heard {
    fn on(node: &Arc<dyn Signals>) -> Arc<Self> {
        let heard = Arc::new(Self::default());
        node.listen(Arc::clone(&heard) as _);
        heard
    }

    fn has(&self, payload: &[u8]) -> bool {
        self.payloads.lock().unwrap().iter().any(|heard| heard == payload)
    }

    /// All but probes.
    fn all(&self) -> Vec<Vec<u8>> {
        let heard = self.payloads.lock().unwrap();
        heard.iter().filter(|payload| !payload.starts_with(PROBE)).cloned().collect()
    }
}

fn subject(tenant: &str, part: u32) -> Subject {
    Subject::of("test", &tenant.parse().unwrap(), Some(part))
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "never: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Returns once what is told of a subject by one node reaches these.
async fn reach(from: &Arc<dyn Signals>, subject: &Subject, to: &[&Arc<Heard>]) {
    static PROBES: AtomicU64 = AtomicU64::new(0);
    let began = Instant::now();
    loop {
        let number = PROBES.fetch_add(1, Ordering::Relaxed);
        let probe = [PROBE, number.to_string().as_bytes()].concat();
        from.tell(subject, probe.clone());
        let told = Instant::now();
        while told.elapsed() < Duration::from_millis(200) {
            if to.iter().all(|heard| heard.has(&probe)) {
                return;
            }
            sleep(Duration::from_millis(2)).await;
        }
        assert!(began.elapsed() < DEADLINE, "{subject} is not heard");
    }
}

/// Everybody who hears a subject, once; the one who tells does not.
pub async fn what_one_tells_all_others_hear_and_he_does_not(nodes: &Nodes) {
    let heard = [0, 1, 2].map(|node| Heard::on(&nodes[node]));
    let news = Subject::of_all("news");
    for node in nodes {
        node.hear(&news);
        node.hear(&news);
    }
    for (from, node) in nodes.iter().enumerate() {
        let others: Vec<_> = (0..3).filter(|to| *to != from).map(|to| &heard[to]).collect();
        reach(node, &news, &others).await;
    }
    for (from, node) in nodes.iter().enumerate() {
        node.tell(&news, vec![byte(from)]);
    }
    for (to, heard) in heard.iter().enumerate() {
        until("both others are heard", || 2 <= heard.all().len()).await;
        let mut all = heard.all();
        all.sort_unstable();
        let others: Vec<_> = (0..3).filter(|from| *from != to).map(|it| vec![byte(it)]).collect();
        assert_eq!(all, others);
    }
}

/// A small number as what is told.
fn byte(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// Another subject is not, nor one that was.
pub async fn only_what_is_to_be_heard_is_heard(nodes: &Nodes) {
    let [teller, hearer, witness] = nodes;
    let (heard, all) = (Heard::on(hearer), Heard::on(witness));
    let subjects = [subject("a", 1), subject("a", 2), subject("a..1", 1), subject("a.", 11)];
    for subject in &subjects {
        witness.hear(subject);
    }
    hearer.hear(&subjects[0]);
    hearer.hear(&subjects[3]);
    for subject in &subjects {
        reach(teller, subject, &[&all]).await;
    }
    reach(teller, &subjects[0], &[&heard]).await;
    reach(teller, &subjects[3], &[&heard]).await;
    hearer.ignore(&subjects[0]);
    hearer.ignore(&subjects[2]);
    // Until it is no longer heard.
    let began = Instant::now();
    loop {
        let probe =
            [PROBE, b"ignored ", began.elapsed().as_nanos().to_string().as_bytes()].concat();
        teller.tell(&subjects[0], probe.clone());
        reach(teller, &subjects[3], &[&heard]).await;
        until("the witness hears it", || all.has(&probe)).await;
        if !heard.has(&probe) {
            break;
        }
        assert!(began.elapsed() < DEADLINE, "it is heard for ever");
    }
    for (number, subject) in subjects.iter().enumerate() {
        teller.tell(subject, vec![byte(number)]);
    }
    until("the witness hears all", || all.all().len() == 4).await;
    until("the last is heard", || !heard.all().is_empty()).await;
    reach(teller, &subjects[3], &[&heard]).await;
    assert_eq!(heard.all(), [[3]]);
}

/// Two tell at once.
pub async fn the_order_of_each_who_tells_stays(nodes: &Nodes) {
    const EACH: u32 = 2_000;
    let [first, second, hearer] = nodes;
    let heard = Heard::on(hearer);
    let subject = subject("a", 0);
    hearer.hear(&subject);
    reach(first, &subject, &[&heard]).await;
    reach(second, &subject, &[&heard]).await;
    for number in 0..EACH {
        for (from, node) in [(1, first), (2, second)] {
            node.tell(&subject, [&[from], &number.to_le_bytes()[..]].concat());
        }
    }
    until("all are heard", || heard.all().len() == 2 * EACH as usize).await;
    for from in [1, 2] {
        let all = heard.all();
        let numbers = all.iter().filter(|it| it[0] == from);
        let numbers = numbers.map(|it| u32::from_le_bytes(it[1..].try_into().unwrap()));
        assert!(numbers.eq(0..EACH), "those of {from} are in order");
    }
}

/// From nothing to the most.
pub async fn signals_of_any_length_arrive_whole(nodes: &Nodes) {
    let [teller, hearer, _] = nodes;
    let heard = Heard::on(hearer);
    let subject = subject("a", 63);
    hearer.hear(&subject);
    reach(teller, &subject, &[&heard]).await;
    let lengths = [0, 1, 4_096, 262_144, 1_048_576, PAYLOAD_BYTES_MAX];
    let payload = |length: usize| -> Vec<u8> { (0..length).map(|at| byte(at % 251)).collect() };
    for length in lengths {
        teller.tell(&subject, payload(length));
    }
    // Longer ones are lost, and no other with them.
    teller.tell(&subject, payload(PAYLOAD_BYTES_MAX + 1));
    teller.tell(&subject, payload(2));
    until("all arrive", || lengths.len() < heard.all().len()).await;
    let all = heard.all();
    assert!(all.iter().map(Vec::len).eq(lengths.into_iter().chain([2])));
    assert!(all.iter().all(|it| *it == payload(it.len())));
}

/// Nor does it need anybody.
pub async fn telling_never_waits(nodes: &Nodes) {
    let [teller, hearer, _] = nodes;
    let subject = subject("nobody", 0);
    teller.tell(&subject, b"nobody listens".to_vec());
    let began = Instant::now();
    for _ in 0..1_000 {
        teller.tell(&subject, vec![0; 200_000]);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // And it goes on.
    let heard = Heard::on(hearer);
    hearer.hear(&subject);
    reach(teller, &subject, &[&heard]).await;
}

/// A signal that comes just before a subject is heard is not heard: so one looks once it is.
pub async fn whoever_begins_to_hear_is_told_that_he_may_have_missed_something(nodes: &Nodes) {
    let [teller, hearer, _] = nodes;
    let heard = Heard::on(hearer);
    for part in 0..5 {
        // What was before is told by now.
        let before = loop {
            let before = heard.missed.load(Ordering::SeqCst);
            sleep(Duration::from_millis(100)).await;
            if before == heard.missed.load(Ordering::SeqCst) {
                break before;
            }
        };
        hearer.hear(&subject("a", part));
        until("it is told", || before < heard.missed.load(Ordering::SeqCst)).await;
        teller.tell(&subject("a", part), vec![byte(part as usize)]);
        until("what comes then is heard", || heard.has(&[byte(part as usize)])).await;
    }
}

/// And nobody else.
pub async fn the_last_to_listen_is_told(nodes: &Nodes) {
    let [teller, hearer, _] = nodes;
    let subject = subject("a", 0);
    hearer.hear(&subject);
    let first = Heard::on(hearer);
    reach(teller, &subject, &[&first]).await;
    let second = Heard::on(hearer);
    let before = first.payloads.lock().unwrap().len();
    reach(teller, &subject, &[&second]).await;
    assert_eq!(first.payloads.lock().unwrap().len(), before);
}

#[cfg(test)]
mod tests {
    use std::future;

    use super::*;
    use crate::Wire;

    fn model() -> future::Ready<Box<Nodes>> {
        let wire = Wire::default();
        future::ready(Box::new([(); 3].map(|()| wire.end() as Arc<dyn Signals>)))
    }

    crate::signals!(model);
}
