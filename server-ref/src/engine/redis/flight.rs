//! Lanes and flights. A lane sends one flight at a time; what arrives meanwhile goes together in the next one
//! (group commit), so the cost of a call falls as the load grows. All appends of a flight are one script call,
//! however many channels they are for; each gets its own answer. Calls of one channel share a lane and keep
//! their order.

use super::{
    Shared,
    answers::{self, Refusal},
    frame,
    link::{self, Live},
    request::{Answer, Ask, Job, Judged, UNREADABLE, evalsha, reply},
    script::Script,
};
use crate::engine::{Append, Channel, EngineError, Owner, Retention};
use hashbrown::HashMap;
use parking_lot::Mutex;
use redis::{Cmd, Pipeline, Value};
use std::{collections::VecDeque, sync::Arc};
use tokio::time::timeout;

/// Calls of one flight at most, and bytes of payload in it, so that no script holds Redis up for long.
const FLIGHT: usize = 128;
const FLIGHT_BYTES: usize = 512 * 1024;

/// Calls that wait for their turn.
#[derive(Default)]
pub(super) struct Lane {
    queue: VecDeque<Job>,
    is_flying: bool,
}

impl Shared {
    /// Sends a call off, or fails it at once.
    pub(super) fn send(self: &Arc<Self>, partition: usize, job: Job) {
        let number = partition % self.lanes.len();
        if !self.link.is_live() || self.acks.len() >= self.config.queue {
            return job.fail(self.away());
        }
        let mut lane = self.lanes[number].lock();
        if lane.queue.len() >= self.config.queue / self.lanes.len() {
            drop(lane);
            return job.fail(self.away());
        }
        lane.queue.push_back(job);
        if !lane.is_flying {
            lane.is_flying = true;
            drop(lane);
            self.runtime.spawn(fly(Arc::clone(self), number));
        }
    }
}

/// Flies until nothing waits any more.
async fn fly(shared: Arc<Shared>, number: usize) {
    loop {
        let Some(jobs) = load_up(&shared.lanes[number]) else { return };
        match shared.link.current() {
            Some(live) => Flight::new(&shared, jobs).fly(&shared, &live).await,
            None => jobs.into_iter().for_each(|job| job.fail(shared.away())),
        }
    }
}

fn load_up(lane: &Mutex<Lane>) -> Option<Vec<Job>> {
    let mut lane = lane.lock();
    let (mut count, mut bytes) = (0, 0);
    for job in lane.queue.iter().take(FLIGHT) {
        if let Job::Append(append, _) = job {
            bytes += append.data.len() + append.meta.len();
        }
        if count > 0 && bytes > FLIGHT_BYTES {
            break;
        }
        count += 1;
    }
    lane.is_flying = count > 0;
    let jobs = lane.queue.drain(..count).collect();
    // Room for a burst is given back when the burst is over.
    if lane.queue.is_empty() && lane.queue.capacity() > 4 * FLIGHT {
        lane.queue = VecDeque::new();
    }
    (count > 0).then_some(jobs)
}

/// How a publication is known again.
#[derive(Clone, Copy, PartialEq)]
enum KnownBy {
    Nothing,
    Key,
    Producer,
}

impl KnownBy {
    const fn of(append: &Append) -> Self {
        match (&append.producer, &append.key) {
            (Some(_), _) => Self::Producer,
            (None, Some(_)) => Self::Key,
            (None, None) => Self::Nothing,
        }
    }
}

/// Appends to one channel with one retention, all of them known again and limited in the same way.
struct Run {
    channel: Channel,
    retention: Retention,
    known_by: KnownBy,
    limit: u32,
    members: Vec<(Append, Answer<Judged>)>,
}

/// One command of a flight.
enum Part {
    Appends(Vec<Run>),
    Ask(Ask),
}

struct Flight {
    parts: Vec<Part>,
}

impl Flight {
    /// Appends that follow one another become one part; what stands between them keeps its place.
    fn new(shared: &Shared, jobs: Vec<Job>) -> Self {
        let mut parts = Vec::new();
        let mut runs: Vec<Run> = Vec::new();
        let mut last: HashMap<Channel, usize, foldhash::fast::RandomState> = HashMap::default();
        for job in jobs {
            match job {
                Job::Append(append, answer) => {
                    let (channel, retention) = (Arc::clone(&append.channel), append.retention);
                    let known_by = KnownBy::of(&append);
                    let limit = append.owner.as_ref().map_or(0, |owner| owner.limit);
                    let alike = |run: &Run| {
                        run.retention == retention && run.known_by == known_by && run.limit == limit
                    };
                    let at = last.get(&channel).copied().filter(|at| alike(&runs[*at]));
                    let at = at.unwrap_or_else(|| {
                        last.insert(Arc::clone(&channel), runs.len());
                        runs.push(Run { channel, retention, known_by, limit, members: Vec::new() });
                        runs.len() - 1
                    });
                    runs[at].members.push((append, answer));
                }
                Job::Ask(ask) => {
                    if !runs.is_empty() {
                        last.clear();
                        parts.push(Part::Appends(std::mem::take(&mut runs)));
                    }
                    parts.push(Part::Ask(ask));
                }
            }
        }
        if !runs.is_empty() {
            parts.push(Part::Appends(runs));
        }
        shared.flights.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Self { parts }
    }

    async fn fly(self, shared: &Arc<Shared>, live: &Arc<Live>) {
        let mut parts = self.parts;
        // A second time where Redis has forgotten the scripts, and did nothing with those parts.
        for attempt in 0..2 {
            let mut pipeline = Pipeline::with_capacity(parts.len());
            for part in &parts {
                pipeline.add_command(part.encode(shared, live));
            }
            let mut connection = live.connection.clone();
            let sent = connection.send_packed_commands(&pipeline, 0, parts.len());
            let values = match timeout(shared.config.deadline, sent).await {
                Ok(Ok(values)) if values.len() == parts.len() => values,
                lost => {
                    let reason = lost.map_or("no answer in time".to_owned(), |sent| match sent {
                        Ok(_) => "answers are missing".to_owned(),
                        Err(error) => error.to_string(),
                    });
                    tracing::warn!(reason, "Redis is given up, calls under way have an unknown end");
                    shared.link.give_up(live);
                    return parts.into_iter().for_each(|part| part.fail(EngineError::Deadline));
                }
            };
            let mut forgotten = Vec::new();
            for (part, value) in parts.into_iter().zip(values) {
                let Value::ServerError(error) = value else {
                    part.settle(shared, live, value);
                    continue;
                };
                match answers::refusal(&error) {
                    Refusal::Forgotten if attempt == 0 => forgotten.push(part),
                    refusal => part.refuse(shared, live, refusal, &error),
                }
            }
            if forgotten.is_empty() {
                return;
            }
            parts = forgotten;
            if let Err(error) = link::load(&mut live.connection.clone()).await {
                tracing::warn!(%error, "Redis does not take the scripts");
                shared.link.give_up(live);
                return parts.into_iter().for_each(|part| part.fail(shared.away()));
            }
        }
    }
}

impl Part {
    fn encode(&self, shared: &Shared, live: &Live) -> Cmd {
        let seen = shared.seen();
        match self {
            Self::Appends(runs) => encode_runs(runs, shared, live, seen),
            Self::Ask(ask) => ask.command.encode(&live.hashes, &live.generation, seen),
        }
    }

    fn fail(self, error: EngineError) {
        match self {
            Self::Appends(runs) => {
                let members = runs.into_iter().flat_map(|run| run.members);
                members.for_each(|(_, answer)| reply(answer, Err(error)));
            }
            Self::Ask(ask) => (ask.settle)(Err(error)),
        }
    }

    fn settle(self, shared: &Arc<Shared>, live: &Arc<Live>, value: Value) {
        match self {
            Self::Ask(ask) => (ask.settle)(Ok(value)),
            Self::Appends(runs) => {
                let mut answers = answers::Appends::new(value);
                let mut held = Vec::new();
                for run in runs {
                    let epoch = answers.as_mut().and_then(answers::Appends::epoch);
                    if let Some(epoch) = epoch.flatten() {
                        shared.saw(epoch);
                    }
                    for (_, answer) in run.members {
                        let judged = epoch.and_then(|epoch| answers.as_mut()?.judged(epoch, run.limit));
                        match judged {
                            None => reply(answer, Err(EngineError::Broken(UNREADABLE))),
                            Some(Ok(judged)) if live.acks.is_some() => held.push((answer, judged)),
                            Some(outcome) => reply(answer, outcome),
                        }
                    }
                }
                if !held.is_empty() {
                    shared.acks.hold(shared, live, held);
                }
            }
        }
    }

    /// Redis did not carry this part out, or not to its end.
    fn refuse(self, shared: &Shared, live: &Arc<Live>, refusal: Refusal, error: &redis::ServerError) {
        if let Refusal::TooMany(limit) = refusal {
            return self.fail(EngineError::TooMany { limit });
        }
        tracing::warn!(code = error.code(), details = error.details(), "Redis refused a call");
        match refusal {
            Refusal::Moved => {
                shared.link.give_up(live);
                self.fail(shared.away());
            }
            Refusal::Later | Refusal::Forgotten => self.fail(shared.away()),
            Refusal::TooMany(_) | Refusal::Broken => self.fail(EngineError::Broken("Redis refused a script")),
        }
    }
}

/// In which way a run is appended: what the script is told once for all runs that are alike.
#[derive(PartialEq)]
struct Way {
    retention: Retention,
    count: usize,
    known_by: KnownBy,
    limit: u32,
}

fn encode_runs(runs: &[Run], shared: &Shared, live: &Live, seen: u64) -> Cmd {
    let mut ways: Vec<Way> = Vec::new();
    let mut keys = 0;
    let mut numbered = Vec::with_capacity(runs.len());
    for run in runs {
        let way = Way {
            retention: run.retention,
            count: run.members.len(),
            known_by: run.known_by,
            limit: run.limit,
        };
        keys += if way.known_by == KnownBy::Nothing { 0 } else { way.count };
        keys += if way.limit == 0 { 0 } else { way.count };
        keys += if way.retention.keeps() { 2 } else { 1 };
        numbered.push(ways.iter().position(|known| *known == way).unwrap_or_else(|| {
            ways.push(way);
            ways.len() - 1
        }));
    }
    let mut cmd = evalsha(&live.hashes, Script::Append, keys);
    for run in runs {
        let partition = shared.keys.partition(&run.channel);
        if run.retention.keeps() {
            cmd.arg(shared.keys.head(partition, &run.channel));
        }
        cmd.arg(shared.keys.log(partition, &run.channel));
        for (append, _) in &run.members {
            if let Some(stamp) = &append.producer {
                cmd.arg(shared.keys.producer(partition, &run.channel, &stamp.producer));
            } else if let Some(key) = &append.key {
                cmd.arg(shared.keys.idempotency(partition, &run.channel, &key.key));
            }
            if let Some(Owner { user, .. }) = append.owner.as_ref().filter(|owner| owner.limit > 0) {
                cmd.arg(shared.keys.owned(partition, user));
            }
        }
    }
    cmd.arg(&*live.generation).arg(seen).arg(shared.config.hint_bytes).arg(runs.len()).arg(ways.len());
    for Way { retention, count, known_by, limit } in ways {
        let size = if retention.keeps() { retention.size } else { 0 };
        cmd.arg(size).arg(retention.ttl).arg(retention.meta_ttl).arg(count).arg(known_by as u8).arg(limit);
    }
    let mut body = Vec::new();
    for (run, way) in runs.iter().zip(numbered) {
        cmd.arg(way + 1);
        for (append, _) in &run.members {
            body.clear();
            if !append.refused {
                frame::body(&mut body, &append.data, &append.meta);
            }
            cmd.arg(body.as_slice());
            if let Some(stamp) = &append.producer {
                cmd.arg(stamp.session).arg(stamp.number).arg(&*stamp.id).arg(stamp.window.max(1));
            } else if let Some(key) = &append.key {
                cmd.arg(key.ttl.max(1));
            }
        }
    }
    cmd
}
