//! Tokens signed with every kind of key, and key sets fetched from a URL.

use crate::socket::{Running, Socket, start};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair,
    },
};
use axum::{Router, routing::get};
use homing_server::config::Token;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::net::TcpListener;

async fn server(token: Token) -> Running {
    start(|config| {
        config.client.insecure = false;
        config.client.token = token;
    })
    .await
}

fn signed(algorithm: Algorithm, kid: Option<&str>, key: &EncodingKey) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    encode(&header, &json!({"sub": "ada"}), key).unwrap()
}

/// Connects with a token: the user, or the close code.
async fn connect(server: &Running, token: &str) -> Result<String, u16> {
    let mut socket = Socket::open(server).await;
    socket.send(&format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#)).await;
    match socket.frame().await {
        crate::socket::Frame::Text(text) => {
            let reply: serde_json::Value = serde_json::from_str(&text).unwrap();
            Ok(reply["connect"]["homing"]["user"].as_str().unwrap_or(&text).to_owned())
        }
        crate::socket::Frame::Close(code, _) => Err(code),
        other => panic!("{other:?}"),
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
}

#[tokio::test]
async fn every_hmac_is_taken_with_the_secret_and_the_one_before() {
    let token = Token {
        hmac_secret_key: Some("new".into()),
        hmac_previous_secret_key: Some("old".into()),
        ..Token::default()
    };
    let server = server(token).await;
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        for (secret, expected) in
            [("new", Ok("ada".to_owned())), ("old", Ok("ada".to_owned())), ("no", Err(3500))]
        {
            let token = signed(algorithm, None, &EncodingKey::from_secret(secret.as_bytes()));
            assert_eq!(connect(&server, &token).await, expected, "{algorithm:?} {secret}");
        }
    }
}

#[tokio::test]
async fn rsa_ecdsa_and_ed25519_are_taken_with_their_public_keys_alone() {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa_private = AsDer::<Pkcs8V1Der<'_>>::as_der(&rsa).unwrap();
    let rsa_public: PublicKeyX509Der<'_> = rsa.public_key().as_der().unwrap();
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let ed = Ed25519KeyPair::generate().unwrap();
    let public = |key: &EcdsaKeyPair| {
        let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        pem("PUBLIC KEY", der.as_ref())
    };
    let private = |key: &EcdsaKeyPair| {
        EncodingKey::from_ec_pem(pem("PRIVATE KEY", key.to_pkcs8v1().unwrap().as_ref()).as_bytes()).unwrap()
    };
    let rsa_key = EncodingKey::from_rsa_pem(pem("PRIVATE KEY", rsa_private.as_ref()).as_bytes()).unwrap();
    let ed_public: PublicKeyX509Der<'_> = ed.public_key().as_der().unwrap();
    let ed_private = pem("PRIVATE KEY", ed.to_pkcs8v1().unwrap().as_ref());
    let ed_key = EncodingKey::from_ed_pem(ed_private.as_bytes()).unwrap();

    let rsa_server = server(Token {
        rsa_public_key: Some(pem("PUBLIC KEY", rsa_public.as_ref())),
        ed25519_public_key: Some(pem("PUBLIC KEY", ed_public.as_ref())),
        ..Token::default()
    })
    .await;
    for algorithm in [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512] {
        assert_eq!(
            connect(&rsa_server, &signed(algorithm, None, &rsa_key)).await,
            Ok("ada".into()),
            "{algorithm:?}"
        );
    }
    assert_eq!(connect(&rsa_server, &signed(Algorithm::EdDSA, None, &ed_key)).await, Ok("ada".into()));
    // The public key must not pass for a secret.
    let confused = EncodingKey::from_secret(pem("PUBLIC KEY", rsa_public.as_ref()).as_bytes());
    assert_eq!(connect(&rsa_server, &signed(Algorithm::HS256, None, &confused)).await, Err(3500));
    assert_eq!(connect(&rsa_server, &signed(Algorithm::ES256, None, &private(&p256))).await, Err(3500));

    for (key, algorithm) in [(&p256, Algorithm::ES256), (&p384, Algorithm::ES384)] {
        let server = server(Token { ecdsa_public_key: Some(public(key)), ..Token::default() }).await;
        assert_eq!(connect(&server, &signed(algorithm, None, &private(key))).await, Ok("ada".into()));
    }
}

#[tokio::test]
async fn a_key_set_is_fetched_when_a_key_is_missing_and_not_at_every_turn() {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    let ed = Ed25519KeyPair::generate().unwrap();
    let key =
        EncodingKey::from_ed_pem(pem("PRIVATE KEY", ed.to_pkcs8v1().unwrap().as_ref()).as_bytes()).unwrap();
    let x = BASE64_URL_SAFE_NO_PAD.encode(ed.public_key().as_ref());
    let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "one", "alg": "EdDSA", "use": "sig", "x": x}]});
    let fetched = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&fetched);
    let keys = Router::new().route(
        "/keys",
        get(async move || {
            counted.fetch_add(1, Ordering::Relaxed);
            set.to_string()
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, keys).await });

    let server = server(Token { jwks_public_endpoint: Some(url), ..Token::default() }).await;
    let good = signed(Algorithm::EdDSA, Some("one"), &key);
    let (one, two) = tokio::join!(connect(&server, &good), connect(&server, &good));
    assert_eq!((one, two), (Ok("ada".into()), Ok("ada".into())));
    for _ in 0..5 {
        assert_eq!(connect(&server, &signed(Algorithm::EdDSA, Some("other"), &key)).await, Err(3500));
    }
    assert_eq!(connect(&server, &good).await, Ok("ada".into()));
    assert_eq!(fetched.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_key_set_that_is_away_is_a_temporary_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    drop(listener);
    let server = server(Token { jwks_public_endpoint: Some(url), ..Token::default() }).await;
    let token = signed(Algorithm::HS256, Some("one"), &EncodingKey::from_secret(b"x"));
    let answer = connect(&server, &token).await.unwrap();
    assert!(answer.contains(r#""code":100"#) && answer.contains(r#""temporary":true"#), "{answer}");
}
