//! The client against a host, an app and a server that do anything in any order.

use homing_core::{
    Config, ConnId, ConnectionState, Duration, EndpointRequestId, EntryId, Event, HandleId, HistoryQuery,
    Input, Instant, Output, PublishOptions, RealtimeClient, Reason, RequestId, StorageOrder,
    SubscribeOptions, TokenRefusal, TokenRequestId, WriteId,
};
use std::collections::BTreeSet;

use super::script::Script;

const CHANNELS: [&str; 3] = ["a", "b", "news"];

struct Host {
    client: RealtimeClient,
    now: u64,
    conn: ConnId,
    token: TokenRequestId,
    write: WriteId,
    endpoints: EndpointRequestId,
    handles: Vec<HandleId>,
    calls: BTreeSet<RequestId>,
}

/// Runs a script of commands, inputs and frames, and checks what holds at every step.
pub fn client_inputs(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let flags = script.byte();
    let config = Config {
        endpoints: vec!["ws://one".into(), "ws://two".into()],
        resolves_endpoints: flags & 1 == 1,
        provides_tokens: flags & 2 == 2,
        max_requests: 8,
        max_held: 4,
        repair_page: 3,
        durable: flags & 4 == 4,
        user: (flags & 8 == 8).then(|| "ada".into()),
        observes_outbox: true,
        ..Config::default()
    };
    let mut host = Host {
        client: RealtimeClient::new(config, [flags; 32], Instant::from_millis(0)),
        now: 0,
        conn: ConnId(0),
        token: TokenRequestId(0),
        write: WriteId(0),
        endpoints: EndpointRequestId(0),
        handles: Vec::new(),
        calls: BTreeSet::new(),
    };
    for _ in 0..512 {
        if script.is_empty() {
            break;
        }
        host.step(&mut script);
        host.drain();
    }
    host.client.close(Instant::from_millis(host.now), Duration::ZERO);
    host.drain();
    assert!(host.calls.is_empty(), "every call settles");
    assert_eq!(host.client.poll_timeout(), None, "a closed client waits for nothing");
}

impl Host {
    fn step(&mut self, script: &mut Script<'_>) {
        let now = Instant::from_millis(self.now);
        let channel = CHANNELS[usize::from(script.byte()) % CHANNELS.len()];
        let client = &mut self.client;
        match script.byte() % 34 {
            0..=5 => client.handle_input(now, Input::FrameReceived { conn: self.conn, text: script.text() }),
            6 => {
                let text = format!(
                    "{{\"id\":{},\"subscribe\":{{\"positioned\":true,\"epoch\":\"e{}\",\"offset\":{}}}}}",
                    script.byte() % 16,
                    script.byte() % 2,
                    script.byte()
                );
                client.handle_input(now, Input::FrameReceived { conn: self.conn, text: &text });
            }
            7 => {
                let offset = script.byte();
                let text = format!(
                    "{{\"push\":{{\"channel\":\"{channel}\",\"pub\":{{\"data\":1,\"offset\":{offset}}}}}}}"
                );
                client.handle_input(now, Input::FrameReceived { conn: self.conn, text: &text });
            }
            8 => {
                let (id, from) = (script.byte() % 16, u64::from(script.byte()));
                let text = format!(
                    "{{\"id\":{id},\"history\":{{\"publications\":[{{\"data\":1,\"offset\":{from}}},{{\"data\":2,\"offset\":{}}}],\"epoch\":\"e{}\",\"offset\":{}}}}}",
                    from + 1,
                    script.byte() % 2,
                    script.byte()
                );
                client.handle_input(now, Input::FrameReceived { conn: self.conn, text: &text });
            }
            9 => {
                let text = format!(
                    "{{\"id\":{},\"error\":{{\"code\":{},\"temporary\":{}}}}}",
                    script.byte() % 16,
                    script.byte(),
                    script.byte() & 1 == 0
                );
                client.handle_input(now, Input::FrameReceived { conn: self.conn, text: &text });
            }
            10..=12 => client.handle_input(now, Input::SocketOpened { conn: self.conn }),
            13 => {
                let text = match script.byte() & 1 {
                    0 => "{\"id\":1,\"connect\":{\"client\":\"c\",\"ping\":25,\"pong\":true}}",
                    _ => concat!(
                        "{\"id\":1,\"connect\":{\"client\":\"c\",\"homing\":{\"user\":\"ada\",",
                        "\"capabilities\":[\"producers\"],\"limits\":{\"dedupe_window\":600}}}}"
                    ),
                };
                client.handle_input(now, Input::FrameReceived { conn: self.conn, text });
            }
            14 => {
                let code = 1000 + 16 * u32::from(script.byte());
                client
                    .handle_input(now, Input::SocketClosed { conn: self.conn, code, reason: script.text() });
            }
            15 => {
                let token = match script.byte() % 3 {
                    0 => Ok(script.text().into()),
                    1 => Err(TokenRefusal::Failed("no".into())),
                    _ => Err(TokenRefusal::Forbidden("no".into())),
                };
                client.handle_input(now, Input::TokenProvided { request: self.token, token });
            }
            16 => {
                let endpoints =
                    if script.byte() & 1 == 0 { Ok(vec!["ws://three".into()]) } else { Err("no".into()) };
                client.handle_input(now, Input::EndpointsResolved { request: self.endpoints, endpoints });
            }
            17 => {
                let hints = [Input::Online, Input::Offline, Input::Visible, Input::Resumed, Input::Suspended];
                let hint = hints[usize::from(script.byte()) % hints.len()].clone();
                client.handle_input(now, hint);
            }
            18 => {
                let options = SubscribeOptions {
                    provides_tokens: script.byte() & 3 == 0,
                    ..SubscribeOptions::default()
                };
                if let Ok((handle, _)) = client.subscribe(now, channel, &options) {
                    self.handles.push(handle);
                }
            }
            19 => {
                if let Some(handle) = self.handles.pop() {
                    client.unsubscribe(now, handle);
                }
            }
            20 => {
                let options =
                    PublishOptions { ephemeral: script.byte() & 1 == 1, ..PublishOptions::default() };
                let accepted = client.publish(now, channel, "[1]", &options);
                self.calls.extend(accepted.ok().map(|accepted| accepted.request));
            }
            21 => self.calls.extend(client.history(now, channel, &HistoryQuery::default()).ok()),
            23 => drop(client.connect(now)),
            24 => client.disconnect(now),
            25 => {
                let key = homing_core::ChannelKey(u32::from(script.byte()));
                client.advance(now, self.conn, key, script.byte().into());
            }
            step @ (22 | 28..=33) => self.outbox_step(step, script),
            26 if script.byte() == 255 => client.close(now, Duration::from_secs(1)),
            _ => {
                self.now += 37 * u64::from(script.byte()) * u64::from(script.byte());
                client.handle_timeout(Instant::from_millis(self.now));
            }
        }
    }

    /// What concerns accepted calls and their storage.
    fn outbox_step(&mut self, step: u8, script: &mut Script<'_>) {
        let now = Instant::from_millis(self.now);
        let client = &mut self.client;
        match step {
            22 => {
                if let Some(call) = self.calls.first().copied() {
                    client.cancel(now, call);
                }
            }
            28 => {
                let key = ["p/x", "e/x/1", "l/x/a", "o/a", "v", "e/y/2", "?"][usize::from(script.byte()) % 7];
                let records = vec![(key.into(), script.text().into())];
                client.handle_input(now, Input::StorageOpened { records: Ok(records) });
            }
            29 => client.handle_input(now, Input::StorageOpened { records: Ok(Vec::new()) }),
            30 => {
                let result = if script.byte() & 3 == 0 { Err("no".into()) } else { Ok(()) };
                client.handle_input(now, Input::Stored { write: self.write, result });
            }
            31 => {
                let (id, expected) = (script.byte() % 16, script.byte());
                let code = 300 + u32::from(script.byte() % 4);
                let text = format!("{{\"id\":{id},\"error\":{{\"code\":{code},\"expected\":{expected}}}}}");
                client.handle_input(now, Input::FrameReceived { conn: self.conn, text: &text });
            }
            32 => {
                let entry = EntryId(script.byte().into());
                drop(client.discard(now, entry));
            }
            _ => {
                let entry = EntryId(script.byte().into());
                self.calls.extend(client.retry(now, entry, None).ok().map(|accepted| accepted.request));
            }
        }
    }

    fn drain(&mut self) {
        for count in 0.. {
            assert!(count < 10_000, "one step gives a bounded number of outputs");
            match self.client.poll_output() {
                None => break,
                Some(Output::OpenSocket { conn, .. }) => {
                    assert!(conn > self.conn, "sockets are numbered upwards");
                    self.conn = conn;
                }
                Some(Output::SendFrame { conn, .. }) => {
                    assert_eq!(conn, self.conn, "frames go to the newest socket")
                }
                Some(Output::Storage(StorageOrder::Write { write, .. })) => self.write = write,
                Some(Output::RequestToken { request, .. }) => self.token = request,
                Some(Output::ResolveEndpoints { request }) => self.endpoints = request,
                // A call may settle before its number was given out, within the command that made it.
                Some(Output::Settled { request, .. }) => drop(self.calls.remove(&request)),
                Some(Output::Event(Event::Connection(ConnectionState::Closed))) => {
                    assert_eq!(self.client.poll_output(), None, "nothing comes after closed");
                }
                Some(_) => {}
            }
        }
        if let ConnectionState::Connecting { reason, .. } = self.client.connection() {
            let asleep = reason.code == Reason::SUSPENDED;
            assert!(asleep || self.client.poll_timeout().is_some(), "who waits has a deadline");
        }
    }
}
