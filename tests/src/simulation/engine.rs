//! The memory engine as a node sees it on a bad day: answers come late or never, hints get lost, and what was
//! given up is carried out all the same, behind what was asked after it.

use super::dice::Dice;
use homing_server::{
    clock::Millis,
    engine::{
        Append, Appended, Call, Channel, Doubt, Engine, EngineError, Hint, Join, Joined, Leave, Left, Log,
        Map, NotAppended, Page, Part, PubSub, Read, Reaped, Renewal, Renewed, Sink, Snapshot, Stats,
        memory::Memory,
    },
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::sync::oneshot;

type Deed = Box<dyn FnOnce() + Send>;

/// What happens to the answers of a node's engine.
#[derive(Default)]
struct Mood {
    dice: Dice,
    now: Millis,
    /// Answers that are on their way, by the time at which they arrive.
    late: BTreeMap<(Millis, u64), oneshot::Sender<()>>,
    made: u64,
    /// Of a hundred calls, how many are answered late, and how many never.
    slow: u64,
    lost: u64,
    /// Of a hundred appends, how many take their link down.
    breaks: u64,
    /// Appends wait for the next link until then.
    broken_until: Millis,
    /// Nothing can be asked until then.
    away_until: Millis,
    /// The process is dead: whatever is left of it asks in vain.
    is_dead: bool,
    /// What is carried out later, by time.
    deeds: BTreeMap<(Millis, u64), Deed>,
}

/// One node's engine.
pub(crate) struct Shaky {
    inner: Arc<Memory>,
    mood: Mutex<Mood>,
    ear: Mutex<Option<Arc<Ear>>>,
}

/// The hints of a node on their way.
struct Ear {
    node: Arc<dyn Sink>,
    hints: Mutex<Hints>,
}

#[derive(Default)]
struct Hints {
    dice: Dice,
    now: Millis,
    lost: bool,
    /// Most milliseconds that a hint takes.
    late: u64,
    made: u64,
    waiting: BTreeMap<(Millis, u64), (Box<str>, Hint)>,
}

impl Ear {
    fn lock(&self) -> MutexGuard<'_, Hints> {
        self.hints.lock().expect("nobody panics with it")
    }
}

impl Sink for Ear {
    fn handle_hint(&self, channel: &str, hint: Hint) {
        let mut hints = self.lock();
        if hints.lost {
            return;
        }
        if hints.late == 0 {
            drop(hints);
            return self.node.handle_hint(channel, hint);
        }
        // Late, out of order, and now and then twice.
        for _ in 0..=u64::from(hints.dice.chance(10)) {
            hints.made += 1;
            let most = hints.late;
            let at = (hints.now + hints.dice.below(most + 1), hints.made);
            hints.waiting.insert(at, (channel.into(), hint.clone()));
        }
    }

    fn handle_doubt(&self, doubt: Doubt) {
        self.node.handle_doubt(doubt);
    }

    fn handle_control(&self, message: bytes::Bytes) {
        self.node.handle_control(message);
    }
}

impl Shaky {
    pub(crate) fn new(inner: Memory, dice: Dice) -> Self {
        let mood = Mutex::new(Mood { dice, ..Mood::default() });
        Self { inner: Arc::new(inner), mood, ear: Mutex::default() }
    }

    fn mood(&self) -> MutexGuard<'_, Mood> {
        self.mood.lock().expect("nobody panics with it")
    }

    fn ear(&self) -> Option<Arc<Ear>> {
        self.ear.lock().expect("nobody panics with it").clone()
    }

    /// Of a hundred calls so many are answered late, and so many never; so many appends take the link to the
    /// store down: nobody knows what became of them, and those behind them wait for the next link.
    pub(crate) fn set_mood(&self, slow: u64, lost: u64, breaks: u64) {
        let mut mood = self.mood();
        (mood.slow, mood.lost, mood.breaks) = (slow, lost, breaks);
    }

    /// Hints are lost, or late. Where they come again the node is told that some may be missing.
    pub(crate) fn set_hints(&self, lost: bool, late: u64) {
        let Some(ear) = self.ear() else { return };
        let mut hints = ear.lock();
        let was_lost = std::mem::replace(&mut hints.lost, lost);
        hints.late = late;
        drop(hints);
        if was_lost && !lost {
            ear.handle_doubt(Doubt::All);
        }
    }

    /// The store cannot be asked until then.
    pub(crate) fn go_away(&self, until: Millis) {
        let mut mood = self.mood();
        mood.away_until = mood.away_until.max(until);
    }

    /// The store is another one: what was asked of the former is lost, and so are hints.
    pub(crate) fn lose_store(&self, until: Millis) {
        self.go_away(until);
        self.mood().deeds.clear();
        let Some(ear) = self.ear() else { return };
        ear.lock().waiting.clear();
        ear.handle_doubt(Doubt::All);
    }

    pub(crate) fn die(&self) {
        self.mood().is_dead = true;
        self.mood().late.clear();
        if let Some(ear) = self.ear.lock().expect("nobody panics with it").take() {
            ear.lock().lost = true;
        }
    }

    /// When the next late answer arrives.
    pub(crate) fn next(&self) -> Option<Millis> {
        let hints = self.ear().and_then(|ear| ear.lock().waiting.keys().next().map(|(at, _)| *at));
        let mood = self.mood();
        let next = [mood.late.keys().next(), mood.deeds.keys().next()];
        next.into_iter().flatten().map(|(at, _)| *at).chain(hints).min()
    }

    /// What is on its way in the store happens, whatever its node does meanwhile.
    pub(crate) fn set_store_now(&self, now: Millis) {
        let mut mood = self.mood();
        mood.now = now;
        let mut due = Vec::new();
        while let Some(first) = mood.deeds.first_entry().filter(|first| first.key().0 <= now) {
            due.push(first.remove());
        }
        drop(mood);
        due.into_iter().for_each(|deed| deed());
    }

    /// When the next of it does.
    pub(crate) fn next_in_store(&self) -> Option<Millis> {
        self.mood().deeds.keys().next().map(|(at, _)| *at)
    }

    /// Lets answers arrive, and what is overdue happen.
    pub(crate) fn set_now(&self, now: Millis) {
        self.set_store_now(now);
        let mut mood = self.mood();
        while let Some(first) = mood.late.first_entry().filter(|first| first.key().0 <= now) {
            let _ = first.remove().send(());
        }
        drop(mood);
        let Some(ear) = self.ear() else { return };
        ear.lock().now = now;
        loop {
            let mut hints = ear.lock();
            let Some(first) = hints.waiting.first_entry().filter(|first| first.key().0 <= now) else {
                return;
            };
            let (channel, hint) = first.remove();
            drop(hints);
            ear.node.handle_hint(&channel, hint);
        }
    }

    /// Asks the store, unless it is away.
    fn ask<T: Send + 'static>(&self, call: impl FnOnce(&Memory) -> Call<T>) -> Call<T> {
        {
            let mood = self.mood();
            if mood.is_dead {
                return Call::Pending(Box::pin(std::future::pending()));
            }
            if mood.away_until > mood.now {
                return Call::Ready(Err(EngineError::Away { retry_after: 100 }));
            }
        }
        let call = call(&self.inner);
        let mut mood = self.mood();
        let roll = mood.dice.below(100);
        let (slow, lost) = (mood.slow, mood.lost);
        if roll >= slow + lost {
            return call;
        }
        let (sender, receiver) = oneshot::channel();
        if roll < slow {
            mood.made += 1;
            let at = (mood.now + 1 + mood.dice.below(3000), mood.made);
            mood.late.insert(at, sender);
        }
        Call::Pending(Box::pin(async move {
            // An answer that is lost never comes: whoever waits has a deadline.
            if receiver.await.is_err() {
                std::future::pending::<()>().await;
            }
            call.finish().await
        }))
    }
}

impl Log for Shaky {
    fn append(&self, append: Append) -> Call<Result<Appended, NotAppended>> {
        let mut mood = self.mood();
        let was_broken = mood.broken_until > mood.now;
        let breaks = mood.breaks;
        let breaks = !mood.is_dead && (was_broken || breaks > 0 && mood.dice.below(100) < breaks);
        if !breaks || mood.away_until > mood.now {
            drop(mood);
            return self.ask(|inner| inner.append(append));
        }
        let (sender, receiver) = oneshot::channel();
        let inner = Arc::clone(&self.inner);
        let later = |mood: &mut Mood, at, deed| {
            mood.made += 1;
            let made = mood.made;
            mood.deeds.insert((at, made), deed);
        };
        if was_broken {
            let deed = Box::new(move || drop(sender.send(inner.append(append))));
            let at = mood.broken_until;
            later(&mut mood, at, deed);
        } else {
            mood.broken_until = mood.now + 1 + mood.dice.below(1000);
            let (over, at) = (mood.broken_until, mood.now + 1 + mood.dice.below(6000));
            later(
                &mut mood,
                over,
                Box::new(move || drop(sender.send(Call::Ready(Err(EngineError::Deadline))))),
            );
            later(&mut mood, at, Box::new(move || drop(inner.append(append))));
        }
        Call::Pending(Box::pin(async move {
            match receiver.await {
                Ok(call) => call.finish().await,
                Err(_) => Err(EngineError::Deadline),
            }
        }))
    }
    fn read(&self, read: Read) -> Call<Page> {
        self.ask(|inner| inner.read(read))
    }
    fn clear(&self, channel: Channel) -> Call<()> {
        self.ask(|inner| inner.clear(channel))
    }
}

impl Map for Shaky {
    fn join(&self, join: Join) -> Call<Joined> {
        self.ask(|inner| inner.join(join))
    }
    fn renew(&self, renewals: Vec<Renewal>) -> Call<Vec<Renewed>> {
        self.ask(|inner| inner.renew(renewals))
    }
    fn leave(&self, leave: Leave) -> Call<Left> {
        self.ask(|inner| inner.leave(leave))
    }
    fn snapshot(&self, part: Part, channel: Channel, limit: u32) -> Call<Snapshot> {
        self.ask(|inner| inner.snapshot(part, channel, limit))
    }
    fn stats(&self, part: Part, channel: Channel) -> Call<Stats> {
        self.ask(|inner| inner.stats(part, channel))
    }
    fn reap(&self, limit: u32) -> Call<Reaped> {
        self.ask(|inner| inner.reap(limit))
    }
}

impl PubSub for Shaky {
    fn attach(&self, node: Arc<dyn Sink>) {
        let dice = Dice::new(self.mood().dice.number());
        let ear = Arc::new(Ear { node, hints: Mutex::new(Hints { dice, ..Hints::default() }) });
        *self.ear.lock().expect("nobody panics with it") = Some(Arc::clone(&ear));
        self.inner.attach(ear);
    }
    fn subscribe(&self, channel: Channel) -> Call<()> {
        self.ask(|inner| inner.subscribe(channel))
    }
    fn unsubscribe(&self, channel: Channel) -> Call<()> {
        self.ask(|inner| inner.unsubscribe(channel))
    }
    fn announce(&self, channel: Channel, hint: Hint) -> Call<()> {
        self.ask(|inner| inner.announce(channel, hint))
    }
    fn control(&self, message: bytes::Bytes) -> Call<()> {
        self.ask(|inner| inner.control(message))
    }
}

impl Engine for Shaky {
    fn is_ready(&self) -> bool {
        true
    }
    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }
    fn name(&self) -> &'static str {
        "shaky"
    }
}
