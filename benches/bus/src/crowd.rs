//! What a publish costs a node among very many subscriptions of its sessions.
//!
//! Each topic is wanted by ten subscriptions of ten sessions, however many others there are, and of
//! a hundred sessions each has its share. So a publish leads to ten deliveries, in as many writes,
//! and what differs is how many subscriptions are passed over.

use std::time::{Duration, Instant};

use switchboard_peers::{Error, figures::Rounds, node::Node};

use crate::{
    Options,
    fan_out::DATA_BYTES,
    link::{Link, Links, READ_BYTES},
    matching::{Filters, MATCHING, topic},
    wire::{Kind, Role, Session, Wire as _, publish_to, subscribe},
};

const MANY: u32 = 1_000_000;
const FEW: u32 = 100;

const SESSIONS: u32 = 100;

/// Sessions that share the subscriptions of a topic, and how many sets of them there are.
const SETS: u32 = SESSIONS / MATCHING;

/// Publishes on the way at once.
const WINDOW: u64 = 64;

/// Subscriptions that a session asks for at once: no more than may wait for their answers.
const AT_ONCE: usize = 200;

/// How long nothing is measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// A node and its sessions, of which the first publishes.
struct Crowd {
    node: Node,
    links: Links,
    groups: u32,
    /// What the node's memory grew by for each subscription, in bytes.
    bytes_each: f64,
    random: u64,
    published: u64,
    received: u64,
    room: Vec<u8>,
}

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let mut crowds = Vec::new();
    for subscriptions in [MANY, FEW] {
        let began = Instant::now();
        crowds.push(Crowd::gather(options, subscriptions).await?);
        eprintln!("{subscriptions} subscriptions in {:.1} s", began.elapsed().as_secs_f64());
    }
    let mut rounds: [[Rounds; 2]; 2] = Default::default();
    for round in 1..=options.rounds {
        for (crowd, rounds) in crowds.iter_mut().zip(&mut rounds) {
            crowd.drive(Instant::now() + WARM_UP)?;
            let figures = crowd.measure(options.length)?;
            let [rate, cpu] = figures;
            eprintln!("round {round}: {} topics: {rate:.0}/s, {cpu:.2} us", crowd.groups);
            rounds.iter_mut().zip(figures).for_each(|(rounds, figure)| rounds.add(figure));
        }
    }
    println!("| subscriptions | publishes/s | node's CPU, us a publish | to {FEW} | bytes each |");
    println!("|---|---|---|---|---|");
    let [many, few] = &rounds;
    let (ratio, bytes) = (many[1].to(&few[1]), crowds[0].bytes_each);
    println!("| {MANY} | {:.0} | {:.2} | {ratio:.2} | {bytes:.0} |", many[0], many[1]);
    println!("| {FEW} | {:.0} | {:.2} | | |", few[0], few[1]);
    Ok(())
}

impl Crowd {
    async fn gather(options: &Options, subscriptions: u32) -> Result<Self, Error> {
        let groups = subscriptions / MATCHING;
        let most = (subscriptions / SESSIONS).to_string();
        let more = ["--session-subscriptions-max", &most];
        let node = Node::start_with(&options.program, &more).await?;
        let open = |number| Link::open(&Session, &node.tcp, number, Role::Publish);
        let mut all = (0..=SESSIONS as usize).map(open).collect::<Result<Vec<_>, _>>()?;
        let before = node.peer.resident()?;
        let filters = |session: u32| {
            let groups = (session / MATCHING..groups).step_by(SETS as usize);
            groups.map(move |group| {
                Filters::Shared.of(group).swap_remove((session % MATCHING) as usize)
            })
        };
        let mut wanted: Vec<_> = (0..SESSIONS).map(|session| (1..).zip(filters(session))).collect();
        // A little of each in turn: so every session shows that it is there.
        loop {
            let mut asked = 0;
            for (link, wanted) in all[1..].iter_mut().zip(&mut wanted) {
                let (mut out, mut count) = (Vec::new(), 0);
                Session.pong(&mut out);
                for (number, filter) in wanted.by_ref().take(AT_ONCE) {
                    subscribe(number, filter, &mut out);
                    count += 1;
                }
                link.say(&out)?;
                (0..count).try_for_each(|_| link.until(&Session, Kind::Ready))?;
                asked += count;
            }
            if asked == 0 {
                break;
            }
        }
        let bytes_each = (node.peer.resident()? - before) / f64::from(subscriptions);
        let links = Links::new(all, 1)?;
        let room = vec![0; READ_BYTES];
        Ok(Self { node, links, groups, bytes_each, random: 7, published: 0, received: 0, room })
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn measure(&mut self, length: Duration) -> Result<[f64; 2], Error> {
        let (before, cpu, began) = (self.published, self.node.peer.cpu(), Instant::now());
        self.drive(began + length)?;
        let publishes = (self.published - before) as f64;
        let took = began.elapsed().as_secs_f64();
        Ok([publishes / took, (self.node.peer.cpu() - cpu) * 1e6 / publishes])
    }

    /// Publishes until the end, and waits for what is on the way then.
    fn drive(&mut self, end: Instant) -> Result<(), Error> {
        let mut places = Vec::new();
        loop {
            let over = end <= Instant::now();
            let matching = u64::from(MATCHING);
            if over && self.received == self.published * matching {
                return Ok(());
            }
            // Half of the window at once: one by one, everybody would be measured waking up.
            let free = WINDOW - (self.published - self.received / matching).min(WINDOW);
            if !over && WINDOW / 2 <= free {
                (0..free).try_for_each(|_| self.publish())?;
                self.links.all[0].flush()?;
            }
            self.links.wait(&mut places)?;
            let before = self.received;
            for &place in &places {
                self.received += self.links.all[place].count(&Session, &mut self.room)?.events;
            }
            let all_came = self.received == self.published * matching;
            self.links.stalled(before < self.received || all_came)?;
        }
    }

    fn publish(&mut self) -> Result<(), Error> {
        self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let group = u32::try_from((self.random >> 33) % u64::from(self.groups))?;
        let out = &mut self.links.all[0].out;
        publish_to(topic(group), &[b'x'; DATA_BYTES], out);
        self.published += 1;
        Ok(())
    }
}
