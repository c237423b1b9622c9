//! The life of the connection as an app and a host see it: what opens it, what ends it, and how it comes back.

mod support;

use homing_core::*;
use serde_json::json;
use support::{
    Dice, World,
    desk::{Desk, config},
};

#[test]
fn nothing_happens_by_itself_before_connect() {
    let mut desk = Desk::new(Config { provides_tokens: true, ..config() });
    desk.subscribe("a");
    desk.publish("a", "1");
    for hint in
        [Input::Online, Input::Visible, Input::Resumed, Input::Suspended, Input::Resumed, Input::Offline]
    {
        desk.input(hint);
        desk.pass(60_000);
    }
    assert!(desk.sockets.is_empty() && desk.tokens.is_empty() && desk.states().is_empty());
}

#[test]
fn connect_needs_an_endpoint() {
    let mut desk = Desk::new(Config::default());
    let error = desk.run(|client, now| client.connect(now)).expect_err("nowhere to connect to");
    assert_eq!(error.code, ErrorCode::InvalidOption);
    assert!(matches!(desk.client.connection(), ConnectionState::Disconnected { .. }));
}

#[test]
fn connect_opens_one_socket_and_sends_connect_first() {
    let mut desk = Desk::new(Config { token: "t".into(), data: "{\"a\":1}".into(), ..config() });
    desk.connect();
    desk.connect();
    assert_eq!(desk.sockets.len(), 1);
    desk.subscribe("a");
    desk.publish("a", "1");
    assert!(desk.commands.is_empty(), "nothing is sent before the socket is open");
    desk.open();
    let first = &desk.commands[0]["connect"];
    assert_eq!(
        (&first["token"], &first["data"], &first["name"]),
        (&json!("t"), &json!({"a":1}), &json!("homing"))
    );
    assert_eq!(desk.sent("connect"), 1);
}

#[test]
fn a_session_tells_what_the_server_said() {
    let mut desk = Desk::new(config());
    desk.connect();
    desk.accept_with(json!({"client": "c9", "version": "v1", "data": {"hi": 1}, "homing": {"version": 1,
        "capabilities": ["ping"], "limits": {"message_bytes": 1000}, "user": "ada"}}));
    let ConnectionState::Connected(session) = desk.client.connection() else { panic!("connected") };
    assert_eq!((&*session.client, &*session.server, &*session.user), ("c9", "v1", "ada"));
    assert_eq!(session.data.as_ref().map(Json::as_str), Some("{\"hi\":1}"));
    assert_eq!(session.max_message_bytes, 1000);
    assert_eq!(session.capabilities, ["ping".into()]);
}

#[test]
fn every_transition_is_told_once_with_its_code_and_reason() {
    let mut desk = Desk::new(config());
    desk.connect();
    desk.accept();
    desk.closed_by_peer(3001);
    desk.until_socket(20_000);
    desk.accept();
    desk.disconnect();
    let told: Vec<_> = desk
        .states()
        .into_iter()
        .map(|state| match state {
            ConnectionState::Connecting { reason, retry_at, .. } => {
                ("connecting", reason.code, retry_at.is_some())
            }
            ConnectionState::Connected(_) => ("connected", 0, false),
            ConnectionState::Disconnected { reason } => ("disconnected", reason.code, false),
            ConnectionState::Closed => ("closed", 0, false),
        })
        .collect();
    assert_eq!(
        told,
        [
            ("connecting", 1, false),
            ("connected", 0, false),
            ("connecting", 3001, true),
            ("connecting", 3001, false),
            ("connected", 0, false),
            ("disconnected", 2, false),
        ]
    );
}

#[test]
fn late_callbacks_of_an_old_socket_are_ignored() {
    let mut desk = Desk::connected(config());
    let old = desk.conn.expect("a socket");
    desk.closed_by_peer(1006);
    desk.until_socket(20_000);
    desk.accept();
    let (_, key) = desk.subscribe("a");
    desk.events.clear();
    desk.input(Input::SocketClosed { conn: old, code: 3500, reason: "late" });
    desk.input(Input::SocketOpened { conn: old });
    desk.input(Input::FrameReceived { conn: old, text: "{\"id\":2,\"subscribe\":{}}\n{not json" });
    desk.input(Input::FrameReceived {
        conn: old,
        text: "{\"push\":{\"disconnect\":{\"code\":3500,\"reason\":\"x\"}}}",
    });
    assert!(desk.is_connected() && desk.events.is_empty());
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribing);
}

#[test]
fn a_socket_that_never_opens_is_replaced() {
    let mut desk = Desk::new(config());
    desk.connect();
    desk.pass(10_000);
    assert_eq!(desk.closed.len(), 1, "it is closed at the connect deadline");
    assert_eq!(desk.trouble(), Some(ErrorCode::ConnectTimedOut.number()));
    desk.until_socket(20_000);
    assert_eq!(desk.sockets.len(), 2);
}

#[test]
fn a_connect_that_is_never_answered_is_replaced() {
    let mut desk = Desk::new(config());
    desk.connect();
    desk.pass(6_000);
    desk.open();
    desk.pass(4_000);
    assert_eq!(
        desk.trouble(),
        Some(ErrorCode::ConnectTimedOut.number()),
        "one deadline for opening and answer"
    );
    desk.until_socket(20_000);
}

#[test]
fn close_codes_say_whether_to_come_back() {
    let terminal = |code: u32| matches!(code, 3500..=3999 | 4500..=4999 | 1009);
    let codes = [0, 1000, 1001, 1002, 1003, 1006, 1007, 1008, 1009, 1011, 1012, 1013, 1015, 2999, 5000];
    for code in
        codes.into_iter().chain((3000..5000).step_by(7)).chain([3499, 3500, 3999, 4000, 4499, 4500, 4999])
    {
        let mut desk = Desk::connected(config());
        desk.closed_by_peer(code);
        desk.pass(60_000);
        assert_eq!(desk.sockets.len() == 1, terminal(code), "code {code}");
        if terminal(code) {
            assert_eq!(desk.refusal(), Some(code));
            desk.connect();
            assert_eq!(desk.sockets.len(), 2, "connect() starts again");
        }
    }
}

#[test]
fn an_error_for_connect_says_whether_to_come_back() {
    for (code, temporary, comes_back) in [
        (100, true, true),
        (100, false, true),
        (111, true, true),
        (108, true, true),
        (50, false, true),
        (101, false, false),
        (103, false, false),
        (107, false, false),
        (106, false, false),
        (777, false, false),
        (777, true, true),
    ] {
        let mut desk = Desk::new(config());
        desk.connect();
        desk.open();
        let id = desk.take("connect").0;
        let mut error = json!({"code": code, "message": "no"});
        if temporary {
            error["temporary"] = true.into();
        }
        desk.say(json!({"id": id, "error": error}));
        desk.pass(60_000);
        // 100 is temporary by its own definition; a server that leaves the flag out is not trusted to mean it.
        if (code, temporary) != (100, false) {
            assert_eq!(desk.sockets.len() > 1, comes_back, "code {code}");
        }
        if !comes_back {
            assert_eq!(desk.refusal(), Some(code));
            assert_eq!(desk.conn, None, "no socket stays open");
        }
    }
}

#[test]
fn a_disconnect_push_is_obeyed_before_its_close_arrives() {
    let mut desk = Desk::connected(config());
    desk.say(json!({"push": {"disconnect": {"code": 3503, "reason": "banned"}}}));
    assert_eq!((desk.refusal(), desk.conn), (Some(3503), None));
    desk.pass(600_000);
    assert_eq!(desk.sockets.len(), 1);
}

#[test]
fn the_servers_retry_after_is_kept_and_spread() {
    let mut waits = Vec::new();
    for seed in 0..200 {
        let mut desk = Desk::seeded(config(), seed);
        desk.connect();
        desk.accept();
        desk.say(json!({"push": {"disconnect": {"code": 3001, "reason": "shutdown", "reconnect": true, "retry_after": 5000}}}));
        if desk.conn.is_some() {
            desk.closed_by_peer(3001);
        }
        let start = desk.now;
        desk.until_socket(60_000);
        waits.push(desk.now - start);
    }
    assert!(waits.iter().all(|wait| *wait >= 5_000), "never earlier than asked");
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 50, "and not all in the same moment");
}

#[test]
fn an_error_for_connect_may_name_a_retry_after() {
    let mut desk = Desk::new(config());
    desk.connect();
    desk.open();
    let id = desk.take("connect").0;
    desk.say(
        json!({"id": id, "error": {"code": 111, "message": "busy", "temporary": true, "retry_after": 7000}}),
    );
    desk.pass(6_999);
    assert_eq!(desk.sockets.len(), 1);
    desk.until_socket(60_000);
}

#[test]
fn the_first_wait_has_full_jitter_above_a_floor() {
    let mut waits: Vec<u64> = (0..1_000)
        .map(|seed| {
            let mut desk = Desk::seeded(config(), seed);
            desk.connect();
            desk.closed_by_peer(1006);
            desk.until_socket(20_000);
            desk.now
        })
        .collect();
    waits.sort_unstable();
    assert!(waits[0] >= 100 && waits[999] <= 600, "{} to {}", waits[0], waits[999]);
    assert!(waits[100] < 200 && waits[900] > 450, "evenly spread: {} {}", waits[100], waits[900]);
}

#[test]
fn waits_grow_with_every_failure_up_to_the_cap() {
    let mut longest = [0; 14];
    for seed in 0..200 {
        let mut desk = Desk::seeded(config(), seed);
        desk.connect();
        for most in &mut longest {
            desk.closed_by_peer(1006);
            let start = desk.now;
            desk.until_socket(30_000);
            *most = (desk.now - start).max(*most);
        }
    }
    for (at, most) in longest.into_iter().enumerate() {
        let width = (500_u64 << at).min(20_000);
        assert!(most <= 20_100.min(width + 100) && most > width * 8 / 10, "failure {at}: {most} of {width}");
    }
}

#[test]
fn failures_are_forgotten_only_after_a_stable_time() {
    let mut desk = Desk::new(config());
    desk.connect();
    for _ in 0..8 {
        desk.accept();
        desk.pass(1_000);
        desk.closed_by_peer(1006);
        desk.until_socket(30_000);
    }
    let attempts = |desk: &Desk| match desk.client.connection() {
        ConnectionState::Connecting { attempt, .. } => *attempt,
        _ => panic!("connecting"),
    };
    assert!(attempts(&desk) >= 8, "a connection that lasts a second proves nothing");
    desk.accept();
    desk.pass(10_001);
    desk.closed_by_peer(1006);
    assert!(attempts(&desk) <= 1, "one that lasts does");
    let start = desk.now;
    desk.until_socket(30_000);
    assert!(desk.now - start <= 600);
}

/// L3: only `connect` wants a connection.
#[test]
fn after_disconnect_nothing_opens_a_socket_until_connect() {
    for seed in 0..2_000 {
        let mut dice = Dice::new(seed);
        let config =
            Config { provides_tokens: dice.chance(50), resolves_endpoints: dice.chance(30), ..config() };
        let mut desk = Desk::seeded(config, seed);
        let mut asked: Vec<TokenRequestId> = Vec::new();
        let mut resolving: Vec<EndpointRequestId> = Vec::new();
        let mut conns = vec![ConnId(0)];
        let mut wanted = false;
        for _ in 0..60 {
            let sockets = desk.sockets.len();
            let questions = desk.tokens.len() + desk.resolves.len();
            let was_wanted = wanted;
            match dice.below(14) {
                0 => {
                    desk.connect();
                    wanted = true;
                    continue;
                }
                1 | 2 => {
                    desk.disconnect();
                    wanted = false;
                }
                3 => desk.input(Input::Online),
                4 => desk.input(Input::Visible),
                5 => desk.input(Input::Resumed),
                6 => desk.input(Input::Suspended),
                7 => desk.pass(dice.below(30_000)),
                8 => {
                    desk.jump(dice.below(300_000));
                    desk.tick();
                }
                9 => {
                    asked.extend(
                        desk.tokens
                            .iter()
                            .filter(|(_, channel)| channel.is_none())
                            .map(|(request, _)| *request),
                    );
                    if let Some(request) = asked.get(dice.below(asked.len() as u64) as usize).copied() {
                        let token = if dice.chance(80) {
                            Ok("t".into())
                        } else {
                            Err(TokenRefusal::Failed("x".into()))
                        };
                        desk.input(Input::TokenProvided { request, token });
                    }
                }
                10 => {
                    resolving.append(&mut desk.resolves.clone());
                    if let Some(request) = resolving.get(dice.below(resolving.len() as u64) as usize).copied()
                    {
                        desk.input(Input::EndpointsResolved {
                            request,
                            endpoints: Ok(vec!["ws://r".into()]),
                        });
                    }
                }
                11 => {
                    let conn = conns[dice.below(conns.len() as u64) as usize];
                    if desk.conn == Some(conn) {
                        desk.closed_by_peer(1006);
                    } else {
                        desk.input(Input::SocketClosed { conn, code: 1006, reason: "" });
                    }
                }
                12 => {
                    let conn = conns[dice.below(conns.len() as u64) as usize];
                    desk.input(Input::SocketOpened { conn });
                }
                _ => {
                    let conn = conns[dice.below(conns.len() as u64) as usize];
                    let text = "{\"id\":1,\"connect\":{\"client\":\"c\",\"version\":\"v\",\"ping\":25,\"pong\":true}}";
                    desk.input(Input::FrameReceived { conn, text });
                }
            }
            conns.extend(desk.conn);
            if !was_wanted && !wanted {
                assert_eq!(desk.sockets.len(), sockets, "seed {seed}: a socket that nobody wants");
                assert_eq!(
                    desk.tokens.len() + desk.resolves.len(),
                    questions,
                    "seed {seed}: a question for nothing"
                );
            }
            if !wanted {
                assert_eq!(desk.conn, None, "seed {seed}: no socket outlives disconnect");
            }
        }
    }
}

#[test]
fn disconnect_is_told_once_and_leaves_no_deadline_behind() {
    let mut desk = Desk::connected(config());
    desk.disconnect();
    desk.disconnect();
    assert_eq!(desk.states().len(), 1);
    assert_eq!(desk.refusal(), Some(Reason::DISCONNECT_CALLED));
    assert_eq!(desk.client.poll_timeout(), None);
}

#[test]
fn a_spurious_timeout_changes_nothing() {
    let mut desk = Desk::connected(config());
    let (_, key) = desk.subscribe("a");
    desk.confirm("a", "e1", 3);
    let before = (desk.events.len(), desk.commands.len(), desk.client.poll_timeout());
    for _ in 0..100 {
        desk.tick();
    }
    assert_eq!((desk.events.len(), desk.commands.len(), desk.client.poll_timeout()), before);
    assert_eq!(desk.subscription(key), SubscriptionState::Subscribed);
}

#[test]
fn a_clock_that_goes_back_is_taken_as_standing_still() {
    let mut desk = Desk::connected(config());
    desk.pass(20_000);
    desk.now = 3;
    desk.tick();
    desk.publish("a", "1");
    desk.frame("{}");
    assert!(desk.is_connected());
    assert!(desk.client.poll_timeout().is_some_and(|deadline| deadline.at.as_millis() >= 20_000));
}

/// L10.
#[test]
fn a_host_that_is_offline_for_ever_still_connects() {
    let mut world = World::new(1, support::config());
    world.input(Input::Offline);
    world.connect();
    world.input(Input::Offline);
    world.until_connected();
    world.input(Input::Offline);
    world.run_for(60_000);
    assert!(world.is_connected());
    assert_eq!(world.opened_urls.len(), 1, "the probe was answered: nothing is cut on a rumour");
}

/// L10.
#[test]
fn online_half_a_second_early_still_connects_within_three_seconds() {
    for seed in 0..100 {
        let mut world = World::new(seed, support::config());
        world.reachable = false;
        world.connect();
        world.run_for(120_000);
        world.input(Input::Online);
        world.run_for(500);
        world.reachable = true;
        let start = world.now;
        world.until_connected();
        assert!(world.now - start <= 3_000, "seed {seed}: {} ms", world.now - start);
    }
}

#[test]
fn a_hint_ends_a_long_wait_at_once() {
    for hint in [Input::Online, Input::Visible, Input::Resumed] {
        let mut desk = Desk::new(config());
        desk.connect();
        for _ in 0..12 {
            desk.closed_by_peer(1006);
            desk.until_socket(30_000);
        }
        desk.closed_by_peer(1006);
        let sockets = desk.sockets.len();
        desk.input(hint.clone());
        desk.pass(100);
        assert_eq!(desk.sockets.len(), sockets + 1, "{hint:?}");
    }
}

#[test]
fn hints_that_come_in_a_flood_do_not_hammer_the_server() {
    let mut desk = Desk::new(config());
    desk.connect();
    for _ in 0..1_000 {
        if desk.conn.is_some() {
            desk.closed_by_peer(1006);
        }
        desk.input(Input::Online);
        desk.input(Input::Visible);
        desk.pass(10);
    }
    assert!(desk.sockets.len() <= 200, "{} attempts in ten seconds", desk.sockets.len());
}

/// The server asked for a pause; a hint of the host is no reason to come earlier.
#[test]
fn a_hint_does_not_break_the_servers_retry_after() {
    let mut desk = Desk::connected(config());
    desk.say(json!({"push": {"disconnect": {"code": 3001, "reason": "s", "reconnect": true, "retry_after": 5000}}}));
    if desk.conn.is_some() {
        desk.closed_by_peer(3001);
    }
    desk.pass(1_000);
    desk.input(Input::Online);
    desk.input(Input::Visible);
    desk.pass(3_900);
    assert_eq!(desk.sockets.len(), 1);
}

/// L9.
#[test]
fn the_back_forward_cache_closes_cleanly_and_comes_back_with_what_was_missed() {
    let mut world = World::new(3, support::config());
    world.connect();
    let (_, key) = world.subscribe("a");
    world.until_connected();
    world.run_for(1_000);
    world.server_publishes("a", "1");
    world.run_for(1_000);
    world.input(Input::Suspended);
    assert!(world.open.is_empty(), "an open socket would keep the page out of the cache");
    assert_eq!(world.client.subscription(key).state, SubscriptionState::Subscribing);
    for n in 2..5 {
        world.server_publishes("a", &n.to_string());
    }
    let opened = world.opened_urls.len();
    world.run_for(300_000);
    assert_eq!(world.opened_urls.len(), opened, "nothing is tried from within the cache");
    world.input(Input::Resumed);
    world.run_for(2_000);
    assert!(world.is_connected());
    assert_eq!(world.offsets(key), [1, 2, 3, 4]);
    assert!(world.gaps(key).is_empty());
}

#[test]
fn suspending_at_any_moment_leaves_no_socket_and_resuming_connects() {
    for stage in 0..4 {
        let mut desk = Desk::new(Config { provides_tokens: true, ..config() });
        desk.connect();
        if stage > 0 {
            desk.answer_token(Ok("t"));
        }
        if stage == 2 {
            desk.open();
        }
        if stage == 3 {
            desk.accept();
        }
        desk.input(Input::Suspended);
        desk.input(Input::Suspended);
        assert_eq!(desk.conn, None, "stage {stage}");
        if stage == 0 {
            desk.answer_token(Ok("late"));
        }
        desk.pass(100_000);
        assert_eq!(desk.conn, None, "stage {stage}");
        desk.input(Input::Resumed);
        desk.pass(100);
        desk.answer_token(Ok("t2"));
        assert!(desk.conn.is_some(), "stage {stage}");
        desk.accept();
    }
}

#[test]
fn resuming_does_not_undo_a_disconnect() {
    let mut desk = Desk::connected(config());
    desk.input(Input::Suspended);
    desk.disconnect();
    desk.input(Input::Resumed);
    desk.input(Input::Visible);
    desk.pass(60_000);
    assert_eq!(desk.sockets.len(), 1);
    assert_eq!(desk.refusal(), Some(Reason::DISCONNECT_CALLED));
}

/// L8: after a restart of the server its ten thousand clients come back spread out.
#[test]
fn ten_thousand_clients_do_not_come_back_in_one_second() {
    let mut clients: Vec<Desk> = (0..10_000)
        .map(|seed| {
            let mut desk = Desk::seeded(config(), seed);
            desk.connect();
            desk.accept();
            desk.pass(15_000);
            desk
        })
        .collect();
    let start = clients[0].now;
    let mut per_100_ms = [0_u32; 300];
    for desk in &mut clients {
        // The new server is not there for two seconds.
        desk.closed_by_peer(1006);
        loop {
            desk.until_socket(30_000);
            let slot = ((desk.now - start) / 100) as usize;
            if let Some(count) = per_100_ms.get_mut(slot) {
                *count += 1;
            }
            if desk.now - start >= 2_000 {
                break;
            }
            desk.closed_by_peer(1006);
        }
    }
    let peak = per_100_ms.iter().max().copied().unwrap_or(0);
    assert!(peak < 3_000, "connects in the worst tenth of a second: {peak}");
    let after = per_100_ms[20..].windows(10).map(|window| window.iter().sum::<u32>()).max().unwrap_or(0);
    assert!(after < 6_000, "connects in the worst second of the new server: {after}");
}

#[test]
fn ten_thousand_clients_keep_a_retry_after_and_spread_behind_it() {
    let mut waits: Vec<u64> = (0..10_000)
        .map(|seed| {
            let mut desk = Desk::seeded(config(), seed);
            desk.connect();
            desk.accept();
            desk.pass(15_000);
            let start = desk.now;
            desk.say(json!({"push": {"disconnect": {"code": 3001, "reason": "shutdown", "reconnect": true,
                "retry_after": 2000 + seed * 8 / 10}}}));
            if desk.conn.is_some() {
                desk.closed_by_peer(3001);
            }
            desk.until_socket(60_000);
            desk.now - start
        })
        .collect();
    waits.sort_unstable();
    assert!(waits[0] >= 2_000);
    let peak = waits.windows(1_600).all(|window| window[1_599] - window[0] >= 1_000);
    assert!(peak, "at most 1,600 a second where the server spread its clients over eight");
}
