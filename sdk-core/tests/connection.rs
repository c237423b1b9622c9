//! The life of the connection as an app and a host see it: what opens it, what ends it, and what it says.

mod support;

use homing_core::*;
use serde_json::json;
use support::{
    Dice,
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
fn the_reason_says_what_went_wrong() {
    let mut desk = Desk::new(config());
    desk.connect();
    desk.closed_by_peer(1006);
    assert_eq!(desk.trouble(), Some(ErrorCode::ConnectFailed.number()));
    desk.until_socket(5_000);
    desk.pass(10_000);
    assert_eq!(desk.trouble(), Some(ErrorCode::ConnectTimedOut.number()));
    desk.until_socket(5_000);
    desk.accept();
    desk.closed_by_peer(1006);
    assert_eq!(desk.trouble(), Some(ErrorCode::ConnectionLost.number()));
    desk.until_socket(5_000);
    desk.accept();
    desk.pass(35_000);
    assert_eq!(desk.trouble(), Some(ErrorCode::Silent.number()));
    desk.until_socket(5_000);
    desk.accept();
    desk.pass(5_000);
    desk.input(Input::Resumed);
    desk.pass(3_000);
    assert_eq!(desk.trouble(), Some(ErrorCode::Probed.number()));
    desk.closed_by_peer(1009);
    let ConnectionState::Disconnected { reason } = desk.client.connection() else { panic!("for good") };
    assert_eq!((reason.code, &*reason.text), (1009, "by the peer"));
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
