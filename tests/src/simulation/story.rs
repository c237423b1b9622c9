//! Tells a plan: one step after the other, then everything is mended, and then everything has to be well.

use super::{
    client::Client,
    plan::{CHANNELS, Plan, Step, name},
    trace,
    truth::{Fate, Message},
    world::{SMALL, World},
};
use homing_core::{Accepted, EntryState, ErrorCode, OutboxEntry, PublishOptions, RealtimeClient};
use homing_server::{
    engine::{Call, Map, Part},
    node::{Order, Whom},
};
use std::time::Duration;

/// How long a mended world may take until nothing is left to do. A lease of a node that has died lasts longest.
const PATIENCE: u64 = 300_000;

/// Tells the story; panics where a promise is broken.
pub(crate) fn tell(plan: &Plan) {
    let mut world = World::new(plan);
    for (pause, step) in &plan.steps {
        world.run_for(*pause);
        trace::tell(world.now, || format!("* {step}"));
        world.apply(step);
        world.hear();
    }
    trace::tell(world.now, || "* everything is mended".into());
    world.mend();
    world.until_quiet();
    world.check_positions();
    trace::tell(world.now, || "* everybody starts again on what was stored".into());
    world.restart();
    world.until_quiet();
    world.say_last();
    world.until_quiet();
    world.check();
}

/// The payload of a message: its name, and what makes it long.
fn payload(name: &str, long: bool) -> Box<str> {
    let rest = if long { "x".repeat(SMALL) } else { String::new() };
    format!("\"{name}{rest}\"").into()
}

impl World {
    fn apply(&mut self, step: &Step) {
        let now = self.now;
        match *step {
            Step::Publish { client, channel, count, long } => {
                (0..count).for_each(|_| self.publish(client, channel, long));
                self.clients[client].check_limits();
            }
            Step::Discard { client } => self.discard(client),
            Step::Edit { client } => self.edit(client),
            Step::Retry { client } => self.retry(client),
            Step::Cancel { client } => {
                let Some((request, at)) = self.clients[client].calls.last_key_value() else { return };
                let (request, at) = (*request, *at);
                self.truth.messages[at].is_doubtful = true;
                let _gone = self.act(client, |machine, now| machine.cancel(now, request));
                self.drain(client);
            }
            Step::Cut { client, how } => self.cut(client, how),
            Step::CutSoon { client, how, parcels } => self.clients[client].cut_soon = Some((parcels, how)),
            Step::Swallow { client, up, down, millis } => {
                let client = &mut self.clients[client];
                client.is_lossy = true;
                if up {
                    client.swallows_up = now + millis;
                }
                if down {
                    client.swallows_down = now + millis;
                }
            }
            Step::Unreachable { client, millis } => self.clients[client].unreachable = now + millis,
            Step::Sleep { client, millis } => {
                self.clients[client].asleep = self.clients[client].asleep.max(now + millis);
                self.clients[client].in_trouble = true;
                self.wake_at(client, self.clients[client].asleep);
            }
            Step::Pause { client, millis } => {
                if self.clients[client].closing.is_none() {
                    self.clients[client].paused = true;
                    let _gone = self.act(client, RealtimeClient::disconnect);
                    self.drain(client);
                    self.connect_at(client, now + millis);
                }
            }
            Step::Crash { client, outputs, millis } => {
                self.clients[client].crash_soon = Some((outputs, millis))
            }
            Step::Close { client, flush, millis } => self.close(client, flush, millis),
            Step::KeepDisk { client } => {
                let disk = self.clients[client].disk;
                self.disks[disk].keep_copy();
            }
            Step::DiskBack { client } => self.disk_back(client),
            Step::DiskSlow { client, most } => {
                let disk = self.clients[client].disk;
                self.disks[disk].slow = most;
                self.trouble_with(disk);
            }
            Step::DiskFails { client, fails } => {
                let disk = self.clients[client].disk;
                self.disks[disk].fails = fails;
                self.trouble_with(disk);
            }
            Step::Kill { node } => self.kill(node),
            Step::Start { node } => self.start(node),
            Step::Freeze { node, millis } => {
                if let Some(host) = &mut self.hosts[node] {
                    trace::trouble("a node stands still");
                    host.frozen_until = host.frozen_until.max(now + millis);
                }
            }
            Step::Kick { node, client } => {
                let user = self.clients[client].user();
                let (whom, reason) = (Whom::user(user), "force reconnect".into());
                if let Some(host) = &self.hosts[node] {
                    host.node.carry_out(&Order::Disconnect { whom, code: 3011, reason });
                }
            }
            Step::Engine { node, slow, lost, breaks } => {
                if let Some(host) = &self.hosts[node] {
                    host.engine.set_mood(slow, lost, breaks);
                }
            }
            Step::Away { node, millis } => {
                if let Some(host) = &self.hosts[node] {
                    host.engine.go_away(now + millis);
                }
            }
            Step::Hints { node, lost, late } => {
                if let Some(host) = &self.hosts[node] {
                    host.engine.set_hints(lost, late);
                }
            }
            Step::Backup => self.back_up(),
            Step::LoseTail => self.lose(true),
            Step::LoseAll => self.lose(false),
        }
    }

    /// Whoever uses the storage may have to do without it.
    fn trouble_with(&mut self, disk: usize) {
        self.clients
            .iter_mut()
            .filter(|client| client.disk == disk)
            .for_each(|client| client.in_trouble = true);
    }

    fn publish(&mut self, client: usize, channel: usize, long: bool) {
        self.clients[client].said += 1;
        let said = format!("{}{}", &name(client)[..1].to_lowercase(), self.clients[client].said);
        let data = payload(&said, long);
        let text = data.clone();
        let options = PublishOptions::default();
        let has_room = self.clients[client].has_room(data.len());
        let accepted =
            self.act(client, move |machine, now| machine.publish(now, CHANNELS[channel], &text, &options));
        match accepted {
            None => {}
            Some(Ok(accepted)) => {
                assert!(has_room, "{said} is accepted beyond the limits");
                self.accepted(client, channel, &said, data, long, accepted);
            }
            Some(Err(error)) => {
                let us = &self.clients[client];
                let allowed = match error.code {
                    ErrorCode::QueueFull => !has_room,
                    ErrorCode::MessageTooLarge => long && self.plan.setup.picky,
                    ErrorCode::Closed => us.closing.is_some(),
                    _ => false,
                };
                assert!(allowed, "{said} is refused at the call: {error}");
                trace::trouble("refused at the call");
            }
        }
        self.drain(client);
    }

    fn accepted(
        &mut self,
        client: usize,
        channel: usize,
        said: &str,
        data: Box<str>,
        is_long: bool,
        accepted: Accepted,
    ) {
        let us = &mut self.clients[client];
        trace::tell(self.now, || format!("{} publishes {said} to {}", name(client), CHANNELS[channel]));
        let at = self.truth.accepted(Message {
            client,
            life: us.life,
            line: us.line(),
            channel,
            data,
            name: said.into(),
            id: accepted.id,
            is_long,
            is_durable: us.person.durable && !us.in_memory,
            fate: None,
            kept: None,
            taken_back: None,
            was_discarded: false,
            edited_by: None,
            may_be_unedited: false,
            is_doubtful: us.in_memory && us.person.durable,
            appended: 0,
            is_there: false,
            was_lost: false,
            lost_by: 0,
            settled_after: 0,
        });
        us.calls.insert(accepted.request, at);
    }

    fn last_entry(&self, client: usize, which: impl Fn(&OutboxEntry) -> bool) -> Option<OutboxEntry> {
        self.clients[client].machine.as_ref()?.outbox().filter(which).last()
    }

    fn discard(&mut self, client: usize) {
        let gives_up = |entry: &OutboxEntry| !entry.was_sent || matches!(entry.state, EntryState::Parked(_));
        let Some(found) = self.last_entry(client, gives_up) else { return };
        let result = self.act(client, |machine, now| machine.discard(now, found.entry));
        if let Some(Ok(())) = result {
            let at = self.truth.with_id(&found.id).expect("it was accepted");
            trace::tell(self.now, || format!("{} takes {} back", name(client), self.truth.messages[at].name));
            let waits = self.clients[client].calls.values().any(|call| *call == at);
            let message = &mut self.truth.messages[at];
            message.was_discarded = true;
            if !waits && message.fate.is_none() && !found.was_sent {
                message.taken_back = Some(client);
                let is_there = message.is_there && !message.is_doubtful;
                assert!(!is_there, "{} is taken back, and in the log", message.name);
            }
        }
        self.drain(client);
    }

    fn edit(&mut self, client: usize) {
        let Some(found) = self.last_entry(client, |entry| !entry.was_sent) else { return };
        let at = self.truth.with_id(&found.id).expect("it was accepted");
        let long = self.truth.messages[at].is_long;
        let said = format!("{}'", self.truth.messages[at].name);
        let data = payload(&said, long);
        let text = data.clone();
        let result = self.act(client, move |machine, now| machine.edit(now, found.entry, &text));
        if let Some(Ok(())) = result {
            trace::tell(self.now, || format!("{} edits it to {said}", name(client)));
            let message = &self.truth.messages[at];
            let is_there = message.is_there && !message.is_doubtful;
            assert!(!is_there, "{} is edited, and in the log", message.name);
            self.truth.edited(at, client, data, long);
            self.truth.messages[at].name = said.into();
        }
        self.drain(client);
    }

    fn retry(&mut self, client: usize) {
        let is_parked = |entry: &OutboxEntry| matches!(entry.state, EntryState::Parked(_));
        let Some(found) = self.last_entry(client, is_parked) else { return };
        let before = self.truth.with_id(&found.id).expect("it was accepted");
        let (channel, long) = (self.truth.messages[before].channel, self.truth.messages[before].is_long);
        self.clients[client].said += 1;
        let said = format!("{}{}", &name(client)[..1].to_lowercase(), self.clients[client].said);
        let data = payload(&said, long);
        let text = data.clone();
        let result = self.act(client, move |machine, now| machine.retry(now, found.entry, Some(&text)));
        if let Some(Ok(accepted)) = result {
            trace::trouble("a parked message is tried again");
            self.truth.messages[before].was_discarded = true;
            self.accepted(client, channel, &said, data, long, accepted);
        }
        self.drain(client);
    }

    fn close(&mut self, client: usize, flush: u64, millis: u64) {
        let us = &mut self.clients[client];
        if us.closing.is_some() || us.machine.is_none() {
            return;
        }
        us.closing = Some(millis);
        us.paused = true;
        for at in us.calls.values() {
            // Whether it was sent nobody can tell any more, unless it is stored.
            let message = &mut self.truth.messages[*at];
            message.is_doubtful |= !message.is_durable || message.kept != Some(true);
        }
        let _gone = self.act(client, |machine, now| machine.close(now, Duration::from_millis(flush)));
        self.drain(client);
    }

    fn disk_back(&mut self, client: usize) {
        let disk = self.clients[client].disk;
        if !self.disks[disk].has_copy() {
            return;
        }
        trace::trouble("a storage goes back");
        let sharing: Vec<usize> =
            (0..self.clients.len()).filter(|other| self.clients[*other].disk == disk).collect();
        for other in &sharing {
            if self.clients[*other].machine.is_some() {
                self.crash(*other, 500);
            }
        }
        self.disks[disk].go_back();
        for message in self.truth.messages.iter_mut().filter(|message| sharing.contains(&message.client)) {
            message.is_doubtful = true;
        }
    }

    /// Nothing is broken any more.
    fn mend(&mut self) {
        for node in 0..self.hosts.len() {
            self.start(node);
            if let Some(host) = &self.hosts[node] {
                host.engine.set_mood(0, 0, 0);
                host.engine.set_hints(false, 0);
            }
        }
        for disk in &mut self.disks {
            (disk.slow, disk.fails) = (2, false);
        }
        for client in 0..self.clients.len() {
            let us = &mut self.clients[client];
            (us.swallows_up, us.swallows_down, us.unreachable) = (0, 0, 0);
            (us.crash_soon, us.cut_soon) = (None, None);
            if us.is_lossy {
                self.cut(client, super::plan::Cut::Hard);
            }
        }
    }

    fn is_quiet(&mut self) -> bool {
        let Self { clients, truth, disks, .. } = self;
        clients.iter().all(|client| client.is_quiet(truth, &disks[client.disk])) && self.all_are_present()
    }

    /// Whoever died has lapsed, whoever lives is there once.
    fn all_are_present(&self) -> bool {
        if !self.plan.setup.presence {
            return true;
        }
        let Call::Ready(Ok(stats)) = self.store.stats(Part::Here, CHANNELS[0].into()) else { return false };
        stats.entries as usize == self.clients.len()
    }

    fn until_quiet(&mut self) {
        let until = self.now + PATIENCE;
        self.run_for(300);
        while !self.is_quiet() {
            if self.now > until {
                let unrest: Vec<_> = self.clients.iter().map(|client| client.unrest(&self.truth)).collect();
                let present = self.all_are_present();
                panic!("the world does not come to rest (presence: {present}): {}", unrest.join("\n"));
            }
            self.run_for(1000);
        }
    }

    fn check_positions(&self) {
        self.clients.iter().for_each(|client| client.check_positions(&self.disks[client.disk]));
    }

    /// What storages still hold comes back.
    fn restart(&mut self) {
        for client in 0..self.clients.len() {
            if self.clients[client].person.durable {
                self.crash(client, 100);
            }
        }
        self.run_for(200);
    }

    /// A last message to every channel: whoever has missed something finds out.
    fn say_last(&mut self) {
        for channel in 0..CHANNELS.len() {
            let said = self.truth.messages.len();
            let mut clients = 0..self.clients.len();
            // One whose outbox is full of what was parked cannot say anything.
            while self.truth.messages.len() == said
                && let Some(client) = clients.next()
            {
                self.publish(client, channel, false);
            }
        }
    }

    fn check(&mut self) {
        for at in 0..self.truth.messages.len() {
            self.check_message(at);
        }
    }

    fn check_message(&self, at: usize) {
        let message = &self.truth.messages[at];
        let name = &message.name;
        let us: &Client = &self.clients[message.client];
        let excuses = self.truth.excuses;
        let held = |client: &Client| {
            client
                .machine
                .as_ref()
                .is_some_and(|machine| machine.outbox().any(|entry| entry.id == message.id))
        };
        match &message.fate {
            Some(Fate::Acked(position)) => {
                let kept = position.is_none() || message.is_there || message.was_lost;
                assert!(kept, "{name} was acked, and is not in the log");
                self.check_declared(at);
            }
            Some(Fate::Failed(_)) => {}
            None if message.life == us.life => panic!("{name} has not settled"),
            None => {
                let excused = message.kept != Some(true)
                    || message.is_doubtful
                    || excuses.knows_nobody
                    || excuses.forgets
                    || message.was_discarded
                    || message.was_lost;
                let found = message.appended > 0 || self.clients.iter().any(held);
                assert!(excused || found, "{name} was kept, and is lost");
            }
        }
    }

    /// Of an acked message that the store has lost the app was told, if the same life has published there since: by
    /// that life, or by a later one that has sent on what the first had published.
    fn check_declared(&self, at: usize) {
        let message = &self.truth.messages[at];
        let keeps = !CHANNELS[message.channel].starts_with("flash:");
        if message.is_there
            || message.is_doubtful
            || self.truth.excuses.forgets
            || !message.was_lost
            || !keeps
        {
            return;
        }
        let us = &self.clients[message.client];
        // One who has forgotten the channel's numbers does not notice.
        if us.person.channels < CHANNELS.len() {
            return;
        }
        let later = self.truth.messages.iter().enumerate().skip(at + 1).any(|(_, later)| {
            (later.client, later.life, later.channel) == (message.client, message.life, message.channel)
                && later.is_there
                && later.settled_after >= message.lost_by
                && matches!(later.fate, Some(Fate::Acked(_)))
        });
        let told = us.lost.iter().any(|(life, channel)| *life >= message.life && *channel == message.channel);
        assert!(!later || told, "{} was acked and lost, and nobody was told", message.name);
    }
}
