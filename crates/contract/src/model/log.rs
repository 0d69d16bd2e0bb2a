//! Events, queues, and who is there, in plain maps.

mod carried;
mod own;
mod queue;

use std::{
    collections::{BTreeMap, BTreeSet},
    future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use switchboard_core::{
    Code, Error, Millis, Result, Tenant,
    bus::{
        Answer, Attendance, Created, Draft, Gone, Page, Published, Pull, Pulled, QueueId,
        QueueSettings, QueueState, Read, Retention, Settled, Settlement, Signal, Signals, Since,
    },
    presence::GatewayId,
};

use self::own::Own;

/// All events and queues of all tenants.
#[derive(Debug, Default)]
pub(super) struct Log(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    tenants: BTreeMap<Tenant, Own>,
    signals: Option<Arc<dyn Signals>>,
}

impl Kept {
    fn of(&mut self, tenant: Tenant) -> &mut Own {
        self.tenants.entry(tenant).or_default()
    }

    /// Tells what has happened since it was told last.
    fn tell(&mut self) {
        let mut news = Vec::new();
        for (&tenant, own) in &mut self.tenants {
            let (events, ready) = own.take_news();
            if !events.is_empty() {
                news.push(Signal::Appended { tenant, events });
            }
            let ready = ready.into_iter().map(|name| QueueId { tenant, name });
            news.extend(ready.map(|queue| Signal::Ready { queue }));
        }
        if let Some(signals) = self.signals.as_ref().filter(|_| !news.is_empty()) {
            signals.tell(news);
        }
    }
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something, and tells what comes of it.
    fn act<T>(&self, act: impl FnOnce(&mut Kept) -> T) -> T {
        let mut kept = self.lock();
        let done = act(&mut kept);
        kept.tell();
        done
    }
}

fn ready<T: Send + 'static>(answer: Result<T>) -> Answer<T> {
    Box::pin(future::ready(answer))
}

fn no_queue() -> Error {
    Error::new(Code::NotFound, "there is no such queue")
}

impl switchboard_core::bus::Log for super::Model {
    fn publish(&self, drafts: Vec<Draft>) -> Answer<Vec<Result<Published>>> {
        ready(Ok(self.log.act(|kept| {
            drafts.into_iter().map(|draft| kept.of(draft.tenant).publish(draft)).collect()
        })))
    }

    fn read(&self, read: Read) -> Answer<Page> {
        ready(self.log.lock().of(read.tenant).read(&read))
    }

    fn create_queue(
        &self,
        queue: QueueId,
        settings: QueueSettings,
        since: Since,
    ) -> Answer<Created> {
        let QueueId { tenant, name } = queue;
        ready(self.log.act(|kept| kept.of(tenant).create_queue(&name, settings, since)))
    }

    fn delete_queue(&self, queue: QueueId) -> Answer<bool> {
        ready(Ok(self.log.act(|kept| kept.of(queue.tenant).delete_queue(&queue.name))))
    }

    fn queue(&self, queue: QueueId) -> Answer<QueueState> {
        ready(self.log.lock().of(queue.tenant).queue(&queue.name).ok_or_else(no_queue))
    }

    fn queues(&self, tenant: Tenant) -> Answer<Vec<QueueState>> {
        ready(Ok(self.log.lock().of(tenant).queues()))
    }

    fn pull(&self, pull: Pull) -> Answer<Pulled> {
        let Pull { queue: QueueId { tenant, name }, max, now } = pull;
        let pulled = self.log.act(|kept| kept.of(tenant).pull(&name, max, now));
        ready(pulled.ok_or_else(no_queue))
    }

    fn settle(&self, settlement: Settlement) -> Answer<Vec<Settled>> {
        let tenant = settlement.queue.tenant;
        ready(self.log.act(|kept| kept.of(tenant).settle(settlement)).ok_or_else(no_queue))
    }

    fn sweep(&self, now: Millis) -> Answer<()> {
        self.log.act(|kept| kept.tenants.values_mut().for_each(|own| own.sweep(now)));
        ready(Ok(()))
    }

    fn attend(&self, attendances: Vec<Attendance>) -> Answer<()> {
        self.log.act(|kept| {
            for attendance in attendances {
                kept.of(attendance.tenant).attend(attendance);
            }
        });
        ready(Ok(()))
    }

    fn abandon(&self, gone: Gone, now: Millis) -> Answer<u64> {
        ready(Ok(self
            .log
            .act(|kept| kept.tenants.values_mut().map(|own| own.abandon(&gone, now)).sum())))
    }

    fn gateways(&self) -> Answer<Vec<GatewayId>> {
        let kept = self.log.lock();
        let all: BTreeSet<_> = kept.tenants.values().flat_map(Own::gateways).collect();
        ready(Ok(all.into_iter().collect()))
    }

    fn newest(&self, tenants: Vec<Tenant>) -> Answer<Vec<u64>> {
        let mut kept = self.log.lock();
        ready(Ok(tenants.into_iter().map(|tenant| kept.of(tenant).newest()).collect()))
    }

    fn expire(&self, rules: Arc<[Retention]>, now: Millis) -> Answer<u64> {
        ready(Ok(self
            .log
            .act(|kept| kept.tenants.values_mut().map(|own| own.expire(&rules, now)).sum())))
    }

    fn listen(&self, signals: Arc<dyn Signals>) {
        self.log.lock().signals = Some(signals);
    }
}
