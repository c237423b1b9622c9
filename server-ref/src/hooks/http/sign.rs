//! Signatures of requests, by which a backend knows that the server has sent them, and when.
//!
//! `X-Homing-Signature: v1=<hex>` is the HMAC-SHA256, under the secret that both know, of
//! `<X-Homing-Timestamp>.<X-Homing-Request>.<body>`: Unix seconds, an id that is another one for each request,
//! and the bytes of the body.

use aws_lc_rs::{hmac, rand};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt::Write;

/// Unix seconds at which a request was made.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("x-homing-timestamp");
/// Id of a request; none comes twice.
pub const REQUEST: HeaderName = HeaderName::from_static("x-homing-request");
/// `v1=` and the signature in hexadecimal digits.
pub const SIGNATURE: HeaderName = HeaderName::from_static("x-homing-signature");
/// Name of the hook, so that one URL can serve several.
pub const HOOK: HeaderName = HeaderName::from_static("x-homing-hook");

/// Seconds by which a timestamp may be off; a backend remembers the ids of that time and takes none twice.
pub const WINDOW: i64 = 300;

pub(super) fn key(secret: &str) -> Option<hmac::Key> {
    (!secret.is_empty()).then(|| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn signed(timestamp: &str, request: &str, body: &[u8]) -> Vec<u8> {
    [timestamp.as_bytes(), b".", request.as_bytes(), b".", body].concat()
}

/// Adds the headers that say when a request was made and by whom.
pub(super) fn sign(key: Option<&hmac::Key>, unix: i64, body: &[u8], headers: &mut HeaderMap) {
    let mut id = [0; 16];
    // Without randomness the id is the same and the signature still true: only replays look alike then.
    let _ = rand::fill(&mut id);
    let (timestamp, request) = (unix.to_string(), hex(&id));
    let signature = key.map(|key| {
        let tag = hmac::sign(key, &signed(&timestamp, &request, body));
        format!("v1={}", hex(tag.as_ref()))
    });
    let all = [(TIMESTAMP, Some(timestamp)), (REQUEST, Some(request)), (SIGNATURE, signature)];
    for (name, value) in all {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
}

/// Whether a request is not what it pretends to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forged {
    /// A header is missing, or is not in its form.
    #[error("not signed")]
    Unsigned,
    /// It was made too long ago, or will be.
    #[error("its timestamp is out of the window")]
    OutOfTime,
    /// Another body, another timestamp, another id, or another secret.
    #[error("its signature does not fit")]
    WrongSignature,
}

/// For backends in Rust: checks a request, at this Unix time, and gives its id. A backend that must not act
/// twice remembers the ids for twice [`WINDOW`] and refuses one that comes again.
///
/// # Errors
/// The request was not sent by who knows the secret, or was sent at another time.
pub fn verify(secret: &str, unix: i64, headers: &HeaderMap, body: &[u8]) -> Result<String, Forged> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(timestamp), Some(request), Some(signature)) = (text(TIMESTAMP), text(REQUEST), text(SIGNATURE))
    else {
        return Err(Forged::Unsigned);
    };
    let made: i64 = timestamp.parse().map_err(|_| Forged::Unsigned)?;
    let signature = signature.strip_prefix("v1=").ok_or(Forged::Unsigned)?;
    if unix.saturating_sub(made).unsigned_abs() > WINDOW.unsigned_abs() {
        return Err(Forged::OutOfTime);
    }
    let tag: Option<Vec<u8>> = (0..signature.len())
        .step_by(2)
        .map(|at| signature.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok()))
        .collect();
    let key = key(secret).ok_or(Forged::WrongSignature)?;
    hmac::verify(&key, &signed(timestamp, request, body), &tag.ok_or(Forged::Unsigned)?)
        .map_err(|_| Forged::WrongSignature)?;
    Ok(request.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_one_body_one_time_and_one_id() {
        let mut headers = HeaderMap::new();
        sign(key("secret").as_ref(), 1000, b"{}", &mut headers);
        let id = headers[REQUEST].to_str().unwrap().to_owned();
        assert_eq!(verify("secret", 1000 + WINDOW, &headers, b"{}"), Ok(id));
        assert_eq!(verify("secret", 1001 + WINDOW, &headers, b"{}"), Err(Forged::OutOfTime));
        assert_eq!(verify("secret", 999 - WINDOW, &headers, b"{}"), Err(Forged::OutOfTime));
        assert_eq!(verify("secret", 1000, &headers, b"{ }"), Err(Forged::WrongSignature));
        assert_eq!(verify("other", 1000, &headers, b"{}"), Err(Forged::WrongSignature));
        assert_eq!(verify("", 1000, &headers, b"{}"), Err(Forged::WrongSignature));
        for (name, value) in [(TIMESTAMP, "1001"), (REQUEST, "00"), (SIGNATURE, "v1=00")] {
            let mut changed = headers.clone();
            changed.insert(name, HeaderValue::from_static(value));
            assert_eq!(verify("secret", 1000, &changed, b"{}"), Err(Forged::WrongSignature));
        }
        for name in [TIMESTAMP, REQUEST, SIGNATURE] {
            let mut fewer = headers.clone();
            fewer.remove(name);
            assert_eq!(verify("secret", 1000, &fewer, b"{}"), Err(Forged::Unsigned));
        }
        for odd in ["v1=0", "v1=zz", "v2=00", "é"] {
            let mut changed = headers.clone();
            changed.insert(SIGNATURE, HeaderValue::from_bytes(odd.as_bytes()).unwrap());
            assert_eq!(verify("secret", 1000, &changed, b"{}"), Err(Forged::Unsigned), "{odd}");
        }
    }

    #[test]
    fn the_form_is_the_documented_one() {
        let key = key("secret").unwrap();
        let tag = hmac::sign(&key, b"1700000000.abc.{\"a\":1}");
        assert_eq!(signed("1700000000", "abc", b"{\"a\":1}"), b"1700000000.abc.{\"a\":1}");
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (TIMESTAMP, "1700000000".to_owned()),
            (REQUEST, "abc".to_owned()),
            (SIGNATURE, format!("v1={}", hex(tag.as_ref()))),
        ] {
            headers.insert(name, HeaderValue::try_from(value).unwrap());
        }
        assert_eq!(verify("secret", 1_700_000_000, &headers, b"{\"a\":1}"), Ok("abc".into()));
    }
}
