//! The memory engine as a node sees it on a bad day: answers come late or never, hints get lost, and what was
//! given up is carried out all the same, behind what was asked after it.

use crate::dice::Dice;
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
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::oneshot;

type Deed = Box<dyn FnOnce() + Send>;

/// What happens to the answers of a node's engine, and to its hints.
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
    /// What is carried out later, by time.
    deeds: BTreeMap<(Millis, u64), Deed>,
}

/// One node's engine.
pub(crate) struct Shaky {
    inner: Arc<Memory>,
    mood: Mutex<Mood>,
    hints: Arc<Hints>,
}

/// Whether hints are lost.
#[derive(Default)]
struct Hints {
    lost: AtomicBool,
}

struct Ear {
    hints: Arc<Hints>,
    node: Arc<dyn Sink>,
}

impl Sink for Ear {
    fn handle_hint(&self, channel: &str, hint: Hint) {
        if !self.hints.lost.load(Ordering::Relaxed) {
            self.node.handle_hint(channel, hint);
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
        Self { inner: Arc::new(inner), mood, hints: Arc::default() }
    }

    /// Of a hundred calls so many are answered late, and so many never.
    pub(crate) fn set_mood(&self, slow: u64, lost: u64) {
        let mut mood = self.mood.lock().expect("nobody panics with it");
        (mood.slow, mood.lost) = (slow, lost);
    }

    /// Of a hundred appends so many take the link to the store down: nobody knows what became of them, and
    /// those behind them wait for the next link.
    pub(crate) fn set_breaks(&self, breaks: u64) {
        self.mood.lock().expect("nobody panics with it").breaks = breaks;
    }

    pub(crate) fn lose_hints(&self, lost: bool) {
        self.hints.lost.store(lost, Ordering::Relaxed);
    }

    /// When the next late answer arrives.
    pub(crate) fn next(&self) -> Option<Millis> {
        let mood = self.mood.lock().expect("nobody panics with it");
        let next = [mood.late.keys().next(), mood.deeds.keys().next()];
        next.into_iter().flatten().map(|(at, _)| *at).min()
    }

    /// Lets answers arrive, and what is overdue happen.
    pub(crate) fn set_now(&self, now: Millis) {
        let mut mood = self.mood.lock().expect("nobody panics with it");
        mood.now = now;
        let mut due = Vec::new();
        while let Some(first) = mood.deeds.first_entry().filter(|first| first.key().0 <= now) {
            due.push(first.remove());
        }
        drop(mood);
        due.into_iter().for_each(|deed| deed());
        let mut mood = self.mood.lock().expect("nobody panics with it");
        while let Some(first) = mood.late.first_entry().filter(|first| first.key().0 <= now) {
            let _ = first.remove().send(());
        }
    }

    fn answer<T: Send + 'static>(&self, call: Call<T>) -> Call<T> {
        let mut mood = self.mood.lock().expect("nobody panics with it");
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
        let mut mood = self.mood.lock().expect("nobody panics with it");
        let was_broken = mood.broken_until > mood.now;
        let breaks = mood.breaks;
        if !was_broken && (breaks == 0 || mood.dice.below(100) >= breaks) {
            drop(mood);
            return self.answer(self.inner.append(append));
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
        self.answer(self.inner.read(read))
    }
    fn clear(&self, channel: Channel) -> Call<()> {
        self.answer(self.inner.clear(channel))
    }
}

impl Map for Shaky {
    fn join(&self, join: Join) -> Call<Joined> {
        self.answer(self.inner.join(join))
    }
    fn renew(&self, renewals: Vec<Renewal>) -> Call<Vec<Renewed>> {
        self.answer(self.inner.renew(renewals))
    }
    fn leave(&self, leave: Leave) -> Call<Left> {
        self.answer(self.inner.leave(leave))
    }
    fn snapshot(&self, part: Part, channel: Channel, limit: u32) -> Call<Snapshot> {
        self.answer(self.inner.snapshot(part, channel, limit))
    }
    fn stats(&self, part: Part, channel: Channel) -> Call<Stats> {
        self.answer(self.inner.stats(part, channel))
    }
    fn reap(&self, limit: u32) -> Call<Reaped> {
        self.answer(self.inner.reap(limit))
    }
}

impl PubSub for Shaky {
    fn attach(&self, node: Arc<dyn Sink>) {
        self.inner.attach(Arc::new(Ear { hints: Arc::clone(&self.hints), node }));
    }
    fn subscribe(&self, channel: Channel) -> Call<()> {
        self.answer(self.inner.subscribe(channel))
    }
    fn unsubscribe(&self, channel: Channel) -> Call<()> {
        self.answer(self.inner.unsubscribe(channel))
    }
    fn announce(&self, channel: Channel, hint: Hint) -> Call<()> {
        self.answer(self.inner.announce(channel, hint))
    }
    fn control(&self, message: bytes::Bytes) -> Call<()> {
        self.answer(self.inner.control(message))
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
