//! The JSON codec: golden frames, hostile frames, and that both directions agree.

use homing_core::wire::{Outcome, PushEvent, Raw, Reply, Request, json};

const CLIENT: &str = include_str!("../../tests/golden/client.jsonl");
const SERVER: &str = include_str!("../../tests/golden/server.jsonl");

#[test]
fn golden_commands_come_back_as_they_were() {
    for line in CLIENT.lines() {
        let mut all = json::commands(line);
        let command = all.next().expect("one command").expect(line);
        assert!(all.next().is_none());
        let mut out = String::new();
        json::encode_command(&command, &mut out);
        assert_eq!(out, line);
    }
    assert_eq!(json::commands(CLIENT).filter(Result::is_ok).count(), CLIENT.lines().count());
}

#[test]
fn golden_replies_come_back_as_they_were() {
    for line in SERVER.lines() {
        let mut all = json::replies(line);
        let reply = all.next().expect("one reply").expect(line);
        assert!(all.next().is_none());
        let mut out = String::new();
        json::encode_reply(&reply, &mut out);
        assert_eq!(out, line);
    }
    assert_eq!(json::replies(SERVER).filter(Result::is_ok).count(), SERVER.lines().count());
}

#[test]
fn unknown_fields_nulls_and_white_space_are_passed_over() {
    let frame = " {\"id\" : 2 , \"new\":[{\"a\":{}}], \"subscribe\":{\"channel\":\"a\\u0062\\n\",\"token\":null,\"x\":1e5}}\n\n";
    let command = json::commands(frame).next().expect("one").expect("well-formed");
    let Request::Subscribe(subscribe) = command.request else { panic!("a subscribe") };
    assert_eq!((command.id, &*subscribe.channel, &*subscribe.token), (2, "ab\n", ""));
}

#[test]
fn a_payload_is_borrowed_and_kept_to_the_byte() {
    let frame = r#"{"push":{"channel":"c","pub":{"data": {"a" : [1, 2.50, "\ud800"]} ,"offset":1}}}"#;
    let Some(Ok(Reply::Push(push))) = json::replies(frame).next() else { panic!("a push") };
    let PushEvent::Publication(publication) = push.event else { panic!("a publication") };
    let data = publication.data.expect("data").as_str();
    assert_eq!(data, r#"{"a" : [1, 2.50, "\ud800"]}"#);
    assert!(frame.as_bytes().as_ptr_range().contains(&data.as_ptr()), "the payload is a slice of the frame");
}

#[test]
fn what_is_not_the_protocol_is_a_typed_error() {
    for (frame, what) in [
        ("[", "expected an object"),
        ("{\"id\":1", "not JSON"),
        ("{\"id\":1}", "expected exactly one verb"),
        ("{\"id\":1,\"ping\":{},\"connect\":{}}", "expected exactly one verb"),
        ("{\"id\":-1,\"ping\":{}}", "expected an integer in range"),
        ("{\"id\":4294967296,\"ping\":{}}", "expected an integer in range"),
        ("{\"id\":1.5,\"ping\":{}}", "expected an integer in range"),
        ("{\"id\":01,\"ping\":{}}", "not JSON"),
        ("{\"id\":1,\"publish\":{\"channel\":5}}", "expected a string"),
        ("{\"id\":1,\"publish\":{\"channel\":\"a\",\"data\":{\"x\":tru}}}", "not JSON"),
        ("{\"id\":1,\"publish\":{\"channel\":\"a\",\"data\":[1,]}}", "not JSON"),
        ("{\"id\":1,\"publish\":{\"channel\":\"a\",\"data\":\"\u{1}\"}}", "not JSON"),
        (
            "{\"id\":1,\"history\":{\"channel\":\"a\",\"since\":{\"offset\":9007199254740992}}}",
            "expected an integer in range",
        ),
        ("{\"id\":1,\"subscribe\":{\"recover\":1}}", "expected true or false"),
    ] {
        let error = json::commands(frame).find_map(Result::err).unwrap_or_else(|| panic!("refused: {frame}"));
        assert_eq!(error.what(), what, "{frame}");
        assert!(error.at <= frame.len());
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Raw::new(&nested(129)).is_ok(), "the innermost, empty one does not count");
    assert_eq!(Raw::new(&nested(130)).expect_err("too deep").what(), "nested too deeply");
    assert!(Raw::new(&"{\"a\":".repeat(1_000_000)).is_err());
}

#[test]
fn an_error_ends_the_frame() {
    let mut all = json::replies("{}\n{\"id\":}\n{}");
    assert_eq!(all.next(), Some(Ok(Reply::Ping)));
    assert!(all.next().expect("the error").is_err());
    assert!(all.next().is_none());
}

#[test]
fn an_answer_without_a_result_is_empty() {
    let Some(Ok(Reply::Answer(answer))) = json::replies("{\"id\":3}").next() else { panic!("an answer") };
    assert_eq!((answer.id, answer.outcome), (3, Outcome::Empty));
}

/// Every golden frame, cut and bent at every byte, is decoded or refused, and never worse than that.
#[test]
fn bent_frames_never_panic() {
    for line in CLIENT.lines().chain(SERVER.lines()) {
        for at in 0..line.len() {
            for with in ["", "\"", "{", "}", "[", "]", ",", ":", "\\", "-", "9", "é", "null"] {
                let (Some(head), Some(tail)) = (line.get(..at), line.get(at + 1..)) else { continue };
                let bent = format!("{head}{with}{tail}");
                let _ = json::commands(&bent).count() + json::replies(&bent).count();
                let _ = json::commands(head).count() + json::replies(head).count();
            }
        }
    }
}

/// What the checker accepts is what an independent parser accepts.
#[test]
fn the_checker_agrees_with_another_parser() {
    let atoms = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "1",
        "-0",
        "0.5",
        "1e9",
        "01",
        "true",
        "null",
        " ",
        "\"\\u12G4\"",
    ];
    let mut state = 7_u64;
    for _ in 0..200_000 {
        let mut text = String::new();
        for _ in 0..8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(atoms[(state >> 33) as usize % atoms.len()]);
        }
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        assert_eq!(json::check(&text).is_ok(), theirs, "{text}");
    }
}
