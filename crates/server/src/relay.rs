//! Between the store, those who listen at this node, and other nodes.
//!
//! What the store tells after its commit goes to the hubs of this node and to all others; what
//! others tell goes to the hubs. A signal is a hint and may be lost, the last one in silence: so
//! every few seconds, and whenever something may have been missed, the node asks the store once for
//! all whom somebody follows here whether there is more than was told.
//!
//! A node that is alone has none of it: its store tells the hubs themselves.

mod ears;
mod order;
mod watch;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use switchboard_core::{
    Tenant,
    bus::{self, Event},
    chat,
    presence::{Place, Report},
    signals::{Listener, Subject},
};
use tokio::sync::Notify;

pub(crate) use self::ears::Ears;
use self::{
    ears::{part_of, subject},
    order::Order,
};
use crate::{
    bus::Hub,
    chat::Hub as Followers,
    node::Ports,
    presence::Tally,
    telemetry::Metrics,
    wire::signal::{self, Heard},
};

/// How often a node looks whether it missed something of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looks {
    /// While signals come.
    pub reconcile: Duration,
    /// While they do not.
    pub poll: Duration,
    /// How long a gateway at which somebody is may say nothing before those are announced to have
    /// left. It reports each second.
    pub silence: Duration,
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            reconcile: Duration::from_secs(5),
            poll: Duration::from_secs(1),
            silence: Duration::from_secs(15),
        }
    }
}

/// Carries what happens between nodes.
pub(crate) struct Relay {
    ports: Ports,
    is_alone: bool,
    chat: Arc<Followers>,
    bus: Arc<Hub>,
    order: Order,
    ears: Arc<Ears>,
    metrics: Arc<Metrics>,
    /// Who folds reports here, if anybody does.
    tally: Mutex<Weak<Tally>>,
    /// Woken when something may have been missed.
    doubt: Notify,
    /// Told by the connection of signals, and by the store: of one that is gone nothing is told.
    this: Weak<Self>,
}

impl Relay {
    /// Between these. The store and the signals tell it from now on, or the hubs.
    pub(crate) fn new(
        ports: &Ports,
        metrics: &Arc<Metrics>,
        ears: &Arc<Ears>,
        (chat, bus): (&Arc<Followers>, &Arc<Hub>),
    ) -> Arc<Self> {
        let relay = Arc::new_cyclic(|this| Self {
            ports: ports.clone(),
            is_alone: ports.signals.is_alone(),
            chat: Arc::clone(chat),
            bus: Arc::clone(bus),
            order: Order::new(bus, &ports.log, metrics),
            ears: Arc::clone(ears),
            metrics: Arc::clone(metrics),
            tally: Mutex::default(),
            doubt: Notify::new(),
            this: Weak::clone(this),
        });
        if relay.is_alone {
            ports.chats.tell(Arc::clone(chat) as _);
            ports.log.listen(Arc::clone(bus) as _);
        } else {
            ports.chats.tell(Arc::new(relay.tap()));
            ports.log.listen(Arc::new(relay.tap()));
            ports.signals.listen(Arc::new(relay.tap()));
        }
        relay
    }

    fn tap(&self) -> Tap {
        Tap(Weak::clone(&self.this))
    }

    /// Whether there are no other nodes.
    pub(crate) fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Publishes ephemeral events to those who are subscribed right now, wherever they are.
    pub(crate) fn publish(&self, tenant: &Tenant, events: Vec<Event>) {
        self.metrics.bus.ephemeral(events.len() as u64);
        if !self.is_alone {
            let subject = subject(&(*tenant, None));
            let signals = &self.ports.signals;
            signal::events(tenant, &events, true, |payload| signals.tell(&subject, payload));
        }
        self.bus.publish(tenant, events);
    }

    /// Tells a user that somebody writes to him, or has stopped.
    pub(crate) fn typing(&self, typing: chat::Signal) {
        let signals = vec![typing];
        if !self.is_alone {
            self.spread(&signals);
        }
        self.chat.hand_out(signals);
    }

    /// A tenant's log is known to reach so far: what is not told here soon is read.
    pub(crate) fn reaches(&self, tenant: Tenant, newest: u64) {
        if !self.is_alone {
            self.order.reaches(tenant, newest);
        }
    }

    /// From now on the reports of other nodes are folded here.
    pub(crate) fn fold(&self, tally: &Arc<Tally>) {
        if !self.is_alone {
            *self.tally.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(tally);
            self.ports.signals.hear(&reports());
        }
    }

    /// Tells other nodes of a report that is in the journal.
    pub(crate) fn report(&self, place: Place, report: &Report) {
        if !self.is_alone {
            self.ports.signals.tell(&reports(), signal::report(place, report));
        }
    }

    /// Tells other nodes what happened in chats.
    fn spread(&self, signals: &[chat::Signal]) {
        let mut parts: HashMap<(Tenant, u32), Vec<u8>> = HashMap::new();
        for told in signals {
            let (chat::Signal::Happened { user, .. } | chat::Signal::Typing { user, .. }) = told;
            let part = (user.tenant, part_of(user));
            let payload = parts.entry(part).or_insert_with(|| signal::chat(&user.tenant));
            signal::add_chat(told, payload);
            if signal::ENOUGH < payload.len() {
                let full = std::mem::replace(payload, signal::chat(&user.tenant));
                self.tell_part(part, full);
            }
        }
        for (part, payload) in parts {
            self.tell_part(part, payload);
        }
    }

    fn tell_part(&self, (tenant, part): (Tenant, u32), payload: Vec<u8>) {
        self.ports.signals.tell(&subject(&(tenant, Some(part))), payload);
    }

    /// What this node's store tells of the bus.
    fn tell_bus(&self, told: bus::Signal) {
        let signals = &self.ports.signals;
        match told {
            bus::Signal::Appended { tenant, events } => {
                self.bus.count_appended(&events);
                let subject = subject(&(tenant, None));
                signal::events(&tenant, &events, false, |payload| signals.tell(&subject, payload));
                self.order.appended(tenant, events);
            }
            bus::Signal::Ready { queue } => {
                signals.tell(&subject(&(queue.tenant, None)), signal::ready(&queue));
                self.bus.ready(&queue);
            }
        }
    }

    /// What another node told.
    fn heard(&self, heard: Heard) {
        match heard {
            Heard::Chat(signals) => self.chat.hand_out(signals),
            Heard::Appended(tenant, events) => self.order.appended(tenant, events),
            Heard::Ephemeral(tenant, events) => self.bus.publish(&tenant, events),
            Heard::Ready(queue) => self.bus.ready(&queue),
            Heard::Report(place, report) => {
                let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
                if let Some(tally) = tally {
                    tally.hear(place, &report);
                }
            }
        }
    }
}

/// What is told of reports.
fn reports() -> Subject {
    Subject::of_all("presence")
}

/// Where others tell the relay.
#[derive(Debug)]
struct Tap(Weak<Relay>);

impl chat::Signals for Tap {
    fn tell(&self, signals: Vec<chat::Signal>) {
        if let Some(relay) = self.0.upgrade() {
            relay.spread(&signals);
            chat::Signals::tell(&*relay.chat, signals);
        }
    }
}

impl bus::Signals for Tap {
    fn tell(&self, signals: Vec<bus::Signal>) {
        if let Some(relay) = self.0.upgrade() {
            for signal in signals {
                relay.tell_bus(signal);
            }
        }
    }
}

impl Listener for Tap {
    fn heard(&self, payload: &[u8]) {
        let Some(relay) = self.0.upgrade() else { return };
        match signal::read(payload) {
            Some(heard) => relay.heard(heard),
            // Of a newer node, perhaps: what it is about is found in the store.
            None => relay.metrics.signals.not_understood(),
        }
    }

    fn missed(&self) {
        if let Some(relay) = self.0.upgrade() {
            relay.doubt.notify_one();
        }
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("alone", &self.is_alone).finish_non_exhaustive()
    }
}
