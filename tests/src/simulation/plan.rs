//! A story before it is told: who takes part, and what is done to them when. All of it comes from a seed; a
//! plan with parts left out is a plan too, so a failing one can be made shorter.

use super::dice::Dice;
use std::fmt;

pub(crate) const CHANNELS: [&str; 4] = ["chat:one", "chat:two", "short:x", "flash:y"];
const NAMES: [&str; 4] = ["Ada", "Bob", "Cyd", "Dan"];

/// The name of a client in stories.
pub(crate) fn name(client: usize) -> &'static str {
    NAMES[client % NAMES.len()]
}

/// Who takes part.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) nodes: usize,
    pub(crate) people: Vec<Person>,
    /// Most milliseconds that a parcel takes.
    pub(crate) spread: u64,
    /// Seconds for which the server knows producers; 0: not at all.
    pub(crate) window: u64,
    /// Whether the first node takes short messages only: what the others have accepted it refuses.
    pub(crate) picky: bool,
    /// Whether clients may only say so much in a second.
    pub(crate) strict: bool,
    /// Whether the first namespace tells who is there.
    pub(crate) presence: bool,
}

/// A client, over all its lives.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) durable: bool,
    /// Whether the app knows the user before the server says who it is.
    pub(crate) named: bool,
    /// By how much the client's clock is wrong.
    pub(crate) skew: i64,
    /// Most milliseconds that the storage takes.
    pub(crate) disk: u64,
    /// Most milliseconds that the app's handler takes for a message.
    pub(crate) handler: u64,
    /// Messages that the outbox takes.
    pub(crate) entries: usize,
    /// Bytes that the outbox takes.
    pub(crate) bytes: usize,
    /// Channels whose numbers the client remembers.
    pub(crate) channels: usize,
    /// Seconds that a message may wait unsent.
    pub(crate) age: u64,
    /// Shares the storage with the one before, like two tabs of a page.
    pub(crate) shares: bool,
}

/// What happens to the parcels on their way when a socket is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// They still arrive.
    After,
    /// They are lost.
    Hard,
    /// What the client has sent arrives, what the server has said is lost.
    Answers,
    /// What the client has sent arrives later than what its next socket sends.
    Late,
}

/// One thing that is done to the world.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Publish { client: usize, channel: usize, count: u64, long: bool },
    Discard { client: usize },
    Edit { client: usize },
    Retry { client: usize },
    Cancel { client: usize },
    Cut { client: usize, how: Cut },
    CutSoon { client: usize, how: Cut, parcels: u64 },
    Swallow { client: usize, up: bool, down: bool, millis: u64 },
    Unreachable { client: usize, millis: u64 },
    Sleep { client: usize, millis: u64 },
    Pause { client: usize, millis: u64 },
    Crash { client: usize, outputs: u64, millis: u64 },
    Close { client: usize, flush: u64, millis: u64 },
    KeepDisk { client: usize },
    DiskBack { client: usize },
    DiskSlow { client: usize, most: u64 },
    DiskFails { client: usize, fails: bool },
    Kill { node: usize },
    Start { node: usize },
    Freeze { node: usize, millis: u64 },
    Kick { node: usize, client: usize },
    Engine { node: usize, slow: u64, lost: u64, breaks: u64 },
    Away { node: usize, millis: u64 },
    Hints { node: usize, lost: bool, late: u64 },
    Backup,
    LoseTail,
    LoseAll,
}

/// A whole story.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) seed: u64,
    pub(crate) setup: Setup,
    /// Milliseconds to wait, and what is done then.
    pub(crate) steps: Vec<(u64, Step)>,
}

impl Plan {
    /// The story of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        // Short seeds are alike in their first throws.
        (0..8).for_each(|_| _ = dice.number());
        let setup = Setup::new(&mut dice, seed);
        let kinds = Kinds::new(&mut dice, &setup);
        let mut steps = Vec::new();
        for _ in 0..20 + dice.below(50) {
            let pause = match dice.below(20) {
                0 if setup.window == 60 => dice.below(120_000),
                0 => dice.below(30_000),
                1..=5 => dice.below(4_000),
                6..=9 => 0,
                _ => dice.below(600),
            };
            let step =
                if dice.chance(45) { publish(&mut dice, &setup) } else { kinds.step(&mut dice, &setup) };
            steps.push((pause, step));
        }
        Self { seed, setup, steps }
    }
}

fn publish(dice: &mut Dice, setup: &Setup) -> Step {
    let count = if dice.chance(6) { 10 + dice.below(25) } else { 1 + dice.below(4) };
    Step::Publish {
        client: dice.index(setup.people.len()),
        channel: dice.index(CHANNELS.len()),
        count,
        long: dice.chance(15),
    }
}

impl Setup {
    fn new(dice: &mut Dice, seed: u64) -> Self {
        let mut people: Vec<Person> = Vec::new();
        // Dice of their own: what is drawn here changes nothing else of a seed's story.
        let mut limits = Dice::new(seed ^ 0x7171);
        (0..8).for_each(|_| _ = limits.number());
        for number in 0..1 + dice.index(NAMES.len()) {
            let shares = number > 0 && people[number - 1].durable && dice.chance(20);
            people.push(Person {
                durable: shares || dice.chance(70),
                named: if shares { people[number - 1].named } else { dice.chance(50) },
                skew: if dice.chance(20) {
                    3_600_000 - dice.number().cast_signed().rem_euclid(7_200_000)
                } else {
                    0
                },
                disk: if dice.chance(50) { dice.below(300) } else { 2 },
                handler: if dice.chance(50) { dice.below(2_000) } else { 0 },
                entries: if dice.chance(15) { 12 } else { 1024 },
                bytes: if limits.chance(15) { 100 } else { 8 << 20 },
                channels: if limits.chance(25) { 1 + limits.index(2) } else { 1024 },
                age: if dice.chance(10) { 15 } else { 7 * 24 * 3600 },
                shares,
            });
        }
        Self {
            nodes: 1 + dice.index(3),
            people,
            spread: if dice.chance(30) { 400 } else { 60 },
            window: match dice.below(20) {
                0 => 0,
                // Longer than any frame is on its way.
                1..=3 => 60,
                _ => 48 * 3600,
            },
            picky: dice.chance(40),
            strict: dice.chance(15),
            presence: dice.chance(20),
        }
    }
}

/// The kinds of trouble that a story has: one alone goes deeper than all of them together.
struct Kinds(Vec<u64>);

const KINDS: u64 = 24;

impl Kinds {
    fn new(dice: &mut Dice, setup: &Setup) -> Self {
        let share = 15 + dice.below(60);
        let fits = |kind: &u64| match kind {
            10..=16 => setup.people.iter().any(|person| person.durable),
            _ => true,
        };
        let mut kinds: Vec<u64> = (0..KINDS).filter(|_| dice.chance(share)).filter(fits).collect();
        // Losing what was written is rare, and everything that follows is allowed more.
        if !dice.chance(35) {
            kinds.retain(|kind| *kind < 22);
        }
        if !dice.chance(40) {
            kinds.retain(|kind| !(14..=16).contains(kind));
        }
        if kinds.is_empty() {
            kinds.push(dice.below(10));
        }
        Self(kinds)
    }

    fn step(&self, dice: &mut Dice, setup: &Setup) -> Step {
        let client = dice.index(setup.people.len());
        let node = dice.index(setup.nodes);
        let how = match dice.below(4) {
            0 => Cut::After,
            1 => Cut::Hard,
            2 => Cut::Answers,
            _ => Cut::Late,
        };
        let millis = match dice.below(4) {
            0 => dice.below(300),
            1 | 2 => dice.below(4_000),
            _ if setup.window == 60 && dice.chance(30) => dice.below(100_000),
            _ => dice.below(30_000),
        };
        let short = millis.min(30_000);
        match self.0[dice.index(self.0.len())] {
            0 => Step::Cut { client, how },
            1 | 2 => Step::CutSoon { client, how, parcels: dice.below(12) },
            3 => Step::Swallow { client, up: true, down: true, millis },
            4 => Step::Swallow { client, up: false, down: true, millis },
            5 => Step::Unreachable { client, millis },
            6 => Step::Sleep { client, millis },
            7 => Step::Pause { client, millis },
            8 => Step::Discard { client },
            9 => match dice.below(3) {
                0 => Step::Edit { client },
                1 => Step::Retry { client },
                _ => Step::Cancel { client },
            },
            10 | 11 => Step::Crash { client, outputs: dice.below(30), millis: millis.min(5_000) },
            12 => Step::Close { client, flush: dice.below(3_000), millis: millis.min(5_000) },
            13 => Step::DiskSlow { client, most: dice.below(8_000) },
            14 => Step::KeepDisk { client },
            15 => Step::DiskBack { client },
            16 => Step::DiskFails { client, fails: dice.chance(50) },
            17 if dice.chance(50) => Step::Kill { node },
            17 => Step::Start { node },
            18 => Step::Freeze { node, millis: short },
            19 if dice.chance(30) => Step::Kick { node, client },
            19 => Step::Engine { node, slow: dice.below(60), lost: dice.below(8), breaks: 0 },
            20 if dice.chance(30) => Step::Away { node, millis },
            20 => Step::Engine { node, slow: 0, lost: 0, breaks: dice.below(40) },
            21 => Step::Hints { node, lost: dice.chance(50), late: dice.below(3_000) },
            22 => Step::Backup,
            _ if dice.chance(80) => Step::LoseTail,
            _ => Step::LoseAll,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |millis: &u64| format!("{}.{} s", millis / 1000, millis % 1000 / 100);
        match self {
            Self::Publish { client, channel, count, .. } => {
                write!(f, "{} publishes {count} to {}", name(*client), CHANNELS[*channel])
            }
            Self::Discard { client } => write!(f, "{} takes a message back", name(*client)),
            Self::Edit { client } => write!(f, "{} edits a message", name(*client)),
            Self::Retry { client } => write!(f, "{} tries a parked message again", name(*client)),
            Self::Cancel { client } => write!(f, "{} stops waiting for a message", name(*client)),
            Self::Cut { client, how } => write!(f, "{}'s socket is cut{how}", name(*client)),
            Self::CutSoon { client, how, parcels } => {
                write!(f, "{}'s socket will be cut after {parcels} more frames{how}", name(*client))
            }
            Self::Swallow { client, up, down, millis } => {
                let which = match (up, down) {
                    (true, true) => "everything",
                    (true, false) => "what is sent",
                    _ => "what is answered",
                };
                write!(
                    f,
                    "the network swallows {which} on {}'s socket for {}",
                    name(*client),
                    seconds(millis)
                )
            }
            Self::Unreachable { client, millis } => {
                write!(f, "no server can be reached from {} for {}", name(*client), seconds(millis))
            }
            Self::Sleep { client, millis } => {
                write!(f, "{}'s machine sleeps for {}", name(*client), seconds(millis))
            }
            Self::Pause { client, millis } => {
                write!(f, "{}'s app disconnects for {}", name(*client), seconds(millis))
            }
            Self::Crash { client, outputs, millis } => write!(
                f,
                "{} will crash after {outputs} more outputs, and be back after {}",
                name(*client),
                seconds(millis)
            ),
            Self::Close { client, flush, millis } => write!(
                f,
                "{} closes, flushing for {}, and is back after {}",
                name(*client),
                seconds(flush),
                seconds(millis)
            ),
            Self::KeepDisk { client } => write!(f, "somebody copies {}'s storage", name(*client)),
            Self::DiskBack { client } => {
                write!(f, "{} crashes, and the storage goes back to the copy", name(*client))
            }
            Self::DiskSlow { client, most } => {
                write!(f, "{}'s storage takes up to {} from here on", name(*client), seconds(most))
            }
            Self::DiskFails { client, fails: true } => {
                write!(f, "{}'s storage fails from here on", name(*client))
            }
            Self::DiskFails { client, .. } => write!(f, "{}'s storage is well again", name(*client)),
            Self::Kill { node } => write!(f, "node {node} is killed"),
            Self::Start { node } => write!(f, "node {node} is started"),
            Self::Freeze { node, millis } => write!(f, "node {node} stands still for {}", seconds(millis)),
            Self::Kick { node, client } => write!(f, "node {node} ends the connections of {}", name(*client)),
            Self::Engine { node, slow, lost, breaks } => write!(
                f,
                "of node {node}'s engine calls {slow} % are answered late, {lost} % never; {breaks} % of appends break the link"
            ),
            Self::Away { node, millis } => write!(f, "node {node} has no engine for {}", seconds(millis)),
            Self::Hints { node, lost: true, .. } => write!(f, "node {node} gets no hints any more"),
            Self::Hints { node, late, .. } => {
                write!(f, "node {node} gets hints up to {} late", seconds(late))
            }
            Self::Backup => write!(f, "the store is written to its dump"),
            Self::LoseTail => write!(f, "the store loses what came after its last dump"),
            Self::LoseAll => write!(f, "the store loses everything"),
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::After => "",
            Self::Hard => "; all that was on its way is lost",
            Self::Answers => "; the answers on their way are lost",
            Self::Late => "; what it has sent will arrive late",
        })
    }
}

impl Step {
    const fn parties(&self) -> (Option<usize>, Option<usize>) {
        match self {
            Self::Publish { client, .. }
            | Self::Discard { client }
            | Self::Edit { client }
            | Self::Retry { client }
            | Self::Cancel { client }
            | Self::Cut { client, .. }
            | Self::CutSoon { client, .. }
            | Self::Swallow { client, .. }
            | Self::Unreachable { client, .. }
            | Self::Sleep { client, .. }
            | Self::Pause { client, .. }
            | Self::Crash { client, .. }
            | Self::Close { client, .. }
            | Self::KeepDisk { client }
            | Self::DiskBack { client }
            | Self::DiskSlow { client, .. }
            | Self::DiskFails { client, .. } => (Some(*client), None),
            Self::Kill { node }
            | Self::Start { node }
            | Self::Freeze { node, .. }
            | Self::Engine { node, .. }
            | Self::Away { node, .. }
            | Self::Hints { node, .. } => (None, Some(*node)),
            Self::Kick { node, client } => (Some(*client), Some(*node)),
            Self::Backup | Self::LoseTail | Self::LoseAll => (None, None),
        }
    }

    /// One message in place of many.
    pub(crate) const fn make_small(&mut self) {
        if let Self::Publish { count, .. } = self {
            *count = 1;
        }
    }

    /// What it adds to the length of a story beyond being a step.
    pub(crate) const fn weight(&self) -> u64 {
        match self {
            Self::Publish { count, .. } => *count,
            _ => 0,
        }
    }
}

impl Plan {
    /// How many nodes the steps speak of.
    pub(crate) fn highest_node(&self) -> usize {
        self.steps.iter().filter_map(|(_, step)| step.parties().1).max().map_or(1, |node| node + 1)
    }

    /// How many clients the steps speak of.
    pub(crate) fn highest_client(&self) -> usize {
        self.steps.iter().filter_map(|(_, step)| step.parties().0).max().map_or(1, |client| client + 1)
    }

    /// Who takes part, in words.
    #[must_use]
    pub fn cast(&self) -> String {
        use std::fmt::Write;
        let Setup { nodes, people, window, picky, strict, presence, .. } = &self.setup;
        let mut text = format!("{nodes} node(s) that know a producer for {window} s");
        for (holds, what) in [
            (picky, "; node 0 takes short messages only"),
            (strict, "; five commands a second"),
            (presence, "; presence"),
        ] {
            if *holds {
                text.push_str(what);
            }
        }
        for (number, person) in people.iter().enumerate() {
            let _ = write!(text, "\n{}: ", name(number));
            text.push_str(match (person.durable, person.shares) {
                (true, true) => "on the storage of the one before",
                (true, false) => "with a storage",
                _ => "in memory",
            });
            for (holds, what) in [
                (person.named, ", the app knows the user"),
                (person.skew != 0, ", with a wrong clock"),
                (person.handler > 0, ", with a slow handler"),
                (person.entries < 1024, ", with room for 12 messages"),
                (person.age < 60, ", messages expire after 15 s"),
            ] {
                if holds {
                    text.push_str(what);
                }
            }
        }
        text
    }
}
