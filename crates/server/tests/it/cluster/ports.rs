//! One store that several nodes share.

use std::{
    collections::BTreeMap,
    future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use switchboard_contract::Model;
use switchboard_core::{
    Code, Error, Millis, Result, Tenant,
    bus::{
        self, Attendance, Created, Draft, Gone, Log, Page, Published, Pull, Pulled, QueueId,
        QueueSettings, QueueState, Read, Retention, Settled, Settlement, Since,
    },
    chat::{
        self, Acknowledgement, Chats, ChatsPage, ChatsPlace, ClientMessageId, InboxPage, Marks,
        MessagesPage, Name, PhoneNumber, Reach, Registered, Sent, Steps, User,
    },
    presence::{self, Appended, GatewayId, Journal, Place, Report},
};

/// The most reports of a page.
const PAGE: usize = 7;

/// What is kept once for all.
#[derive(Debug, Default)]
pub(super) struct Shared {
    model: Model,
    /// Held while a node changes something: only that node is told.
    turn: Mutex<()>,
    reports: Mutex<Vec<(Place, Report)>>,
}

/// A node's own way to it.
#[derive(Debug)]
pub(crate) struct Through {
    shared: Arc<Shared>,
    chat: Mutex<Option<Arc<dyn chat::Signals>>>,
    bus: Mutex<Option<Arc<dyn bus::Signals>>>,
    /// While set, this node's reports are not taken.
    pub(crate) mute: AtomicBool,
}

impl Through {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            chat: Mutex::default(),
            bus: Mutex::default(),
            mute: AtomicBool::new(false),
        }
    }

    fn act<T>(&self, act: impl FnOnce(&Model) -> T) -> T {
        let _turn = self.shared.turn.lock().unwrap();
        let model = &self.shared.model;
        if let Some(chat) = &*self.chat.lock().unwrap() {
            model.tell(Arc::clone(chat));
        }
        if let Some(bus) = &*self.bus.lock().unwrap() {
            model.listen(Arc::clone(bus));
        }
        act(model)
    }
}

impl Chats for Through {
    fn send(&self, drafts: Vec<chat::Draft>) -> chat::Answer<Vec<Result<Sent>>> {
        self.act(|model| model.send(drafts))
    }

    fn acknowledge(&self, receipts: Vec<Acknowledgement>) -> chat::Answer<Vec<Result<Marks>>> {
        self.act(|model| model.acknowledge(receipts))
    }

    fn register(&self, user: User, name: Option<Name>, at: Millis) -> chat::Answer<Registered> {
        self.act(|model| model.register(user, name, at))
    }

    fn chats(&self, user: User, on: Option<ChatsPlace>, limit: u32) -> chat::Answer<ChatsPage> {
        self.shared.model.chats(user, on, limit)
    }

    fn messages(
        &self,
        user: User,
        peer: PhoneNumber,
        reach: Reach,
        limit: u32,
    ) -> chat::Answer<MessagesPage> {
        self.shared.model.messages(user, peer, reach, limit)
    }

    fn inbox(&self, user: User, after: u64, limit: u32) -> chat::Answer<InboxPage> {
        self.shared.model.inbox(user, after, limit)
    }

    fn newest(&self, users: Vec<User>) -> chat::Answer<Vec<u64>> {
        Chats::newest(&self.shared.model, users)
    }

    fn trace(&self, sender: User, id: ClientMessageId) -> chat::Answer<Steps> {
        self.shared.model.trace(sender, id)
    }

    fn tell(&self, signals: Arc<dyn chat::Signals>) {
        *self.chat.lock().unwrap() = Some(signals);
    }
}

impl Log for Through {
    fn publish(&self, drafts: Vec<Draft>) -> bus::Answer<Vec<Result<Published>>> {
        self.act(|model| model.publish(drafts))
    }

    fn read(&self, read: Read) -> bus::Answer<Page> {
        Log::read(&self.shared.model, read)
    }

    fn create_queue(
        &self,
        queue: QueueId,
        settings: QueueSettings,
        since: Since,
    ) -> bus::Answer<Created> {
        self.act(|model| model.create_queue(queue, settings, since))
    }

    fn delete_queue(&self, queue: QueueId) -> bus::Answer<bool> {
        self.act(|model| model.delete_queue(queue))
    }

    fn queue(&self, queue: QueueId) -> bus::Answer<QueueState> {
        self.shared.model.queue(queue)
    }

    fn queues(&self, tenant: Tenant) -> bus::Answer<Vec<QueueState>> {
        self.shared.model.queues(tenant)
    }

    fn pull(&self, pull: Pull) -> bus::Answer<Pulled> {
        self.act(|model| model.pull(pull))
    }

    fn settle(&self, settlement: Settlement) -> bus::Answer<Vec<Settled>> {
        self.act(|model| model.settle(settlement))
    }

    fn sweep(&self, now: Millis) -> bus::Answer<()> {
        self.act(|model| model.sweep(now))
    }

    fn attend(&self, attendances: Vec<Attendance>) -> bus::Answer<()> {
        self.act(|model| model.attend(attendances))
    }

    fn abandon(&self, gone: Gone, now: Millis) -> bus::Answer<u64> {
        self.act(|model| model.abandon(gone, now))
    }

    fn gateways(&self) -> bus::Answer<Vec<GatewayId>> {
        self.shared.model.gateways()
    }

    fn newest(&self, tenants: Vec<Tenant>) -> bus::Answer<Vec<u64>> {
        Log::newest(&self.shared.model, tenants)
    }

    fn expire(&self, rules: Arc<[Retention]>, now: Millis) -> bus::Answer<u64> {
        self.act(|model| model.expire(rules, now))
    }

    fn listen(&self, signals: Arc<dyn bus::Signals>) {
        *self.bus.lock().unwrap() = Some(signals);
    }
}

impl Journal for Through {
    fn append(&self, report: &Report) -> presence::Answer<Appended> {
        if self.mute.load(Ordering::Relaxed) {
            let failed = || Err(Error::new(Code::Unavailable, "the journal is not reached"));
            return Box::pin(async move { failed() });
        }
        let mut reports = self.shared.reports.lock().unwrap();
        let gateway = report.gateway;
        let number = reports.iter().filter(|(place, _)| place.gateway == gateway).count() as u64;
        let place = Place { gateway, number: number + 1 };
        reports.push((place, report.clone()));
        Box::pin(future::ready(Ok(Some(place))))
    }

    fn read(&self, from: u64) -> presence::Answer<presence::Page> {
        let reports = self.shared.reports.lock().unwrap();
        let from = usize::try_from(from).unwrap();
        let to = reports.len().min(from + PAGE);
        let mut places = BTreeMap::new();
        for (place, _) in &reports[..to] {
            places.insert(place.gateway, *place);
        }
        let page = presence::Page {
            reports: reports[from..to].iter().map(|(_, report)| report.clone()).collect(),
            places: places.into_values().collect(),
            next: (to < reports.len()).then_some(to as u64),
        };
        Box::pin(future::ready(Ok(page)))
    }

    fn others(&self, behind: Vec<Place>) -> presence::Answer<Vec<(Place, Report)>> {
        let reports = self.shared.reports.lock().unwrap();
        let known = |gateway| {
            let known = behind.iter().find(|place| place.gateway == gateway);
            known.map_or(0, |place| place.number)
        };
        let others = reports.iter().filter(|(place, _)| known(place.gateway) < place.number);
        let others = others.take(PAGE).cloned().collect();
        Box::pin(future::ready(Ok(others)))
    }

    fn prune(&self, _before: Millis) -> presence::Answer<()> {
        // Places are counted by what is here.
        Box::pin(future::ready(Ok(())))
    }
}
