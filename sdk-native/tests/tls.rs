//! `wss` against a real TLS server with a certificate of its own, by each library that the build has.
#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]
#![cfg_attr(
    not(any(feature = "rustls", feature = "native-tls")),
    expect(dead_code, unused_imports, reason = "there is no TLS to test")
)]

mod peer;

use homing::{BoxedIo, Builder, RealtimeClient, Stage, TransportError, TransportOptions};
use peer::{Peer, fault, quick, soon};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

/// A peer behind TLS: a real handshake on a real socket.
struct TlsPeer {
    peer: Peer,
    port: u16,
    certificate: CertificateDer<'static>,
    accepting: JoinHandle<()>,
}

impl TlsPeer {
    async fn start() -> Self {
        let CertifiedKey { cert, signing_key }: CertifiedKey<KeyPair> =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let peer = Peer::start().await;
        let serve = peer.door();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, serve) = (acceptor.clone(), serve.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(Box::new(stream) as BoxedIo).await;
                    }
                });
            }
        });
        Self { peer, port, certificate, accepting }
    }

    fn builder(&self) -> Builder {
        quick(format!("wss://localhost:{}/connection/websocket", self.port))
    }
}

impl Drop for TlsPeer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn converses(server: &TlsPeer, client: RealtimeClient) {
    client.connect().unwrap();
    let room = client.channel("room");
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    // More than fits into one TLS record.
    let text = "x".repeat(60_000);
    soon(room.publish(&text)).await.unwrap();
    let Some(Ok(homing::Delivery::Message(message))) = soon(messages.next()).await else {
        panic!("no message")
    };
    assert_eq!(message.data.as_str().len(), text.len() + 2);
    assert_eq!(server.peer.behave().connections, 1);
    soon(client.close(Duration::from_secs(1))).await;
}

async fn distrusts(client: RealtimeClient) {
    let mut events = client.events();
    client.connect().unwrap();
    let error = fault(&mut events).await;
    assert!(matches!(error, TransportError::Failed { stage: Stage::Tls, .. }), "{error}");
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[tokio::test]
async fn a_tls_handshake_that_does_not_end_has_a_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let after = Duration::from_millis(150);
    let options = TransportOptions { tls_timeout: after, ..TransportOptions::default() };
    let url = format!("wss://localhost:{}/", silent.local_addr().unwrap().port());
    let client = quick(url).transport(options).build().unwrap();
    let mut events = client.events();
    client.connect().unwrap();
    assert_eq!(fault(&mut events).await, TransportError::TimedOut { stage: Stage::Tls, after });
}

#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
#[tokio::test]
async fn without_tls_an_encrypted_address_is_a_typed_error_and_a_connector_helps() {
    let error = quick("wss://localhost/").build().err();
    assert_eq!(error, Some(homing::BuildError::Endpoint(TransportError::TlsUnavailable)));
    let peer = Peer::start().await;
    let address = peer.address;
    let connector = move |target: homing::Target| async move {
        assert!(target.secure);
        Ok(Box::new(tokio::net::TcpStream::connect(address).await?) as BoxedIo)
    };
    let client = quick("wss://localhost/").connector(connector).build().unwrap();
    client.connect().unwrap();
    soon(client.connected()).await.unwrap();
}

#[cfg(feature = "rustls")]
mod by_rustls {
    use super::*;

    fn trusting(certificate: &CertificateDer<'static>) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }

    #[tokio::test]
    async fn a_conversation_over_rustls() {
        let server = TlsPeer::start().await;
        let client = server.builder().rustls(trusting(&server.certificate)).build().unwrap();
        converses(&server, client).await;
    }

    #[cfg(not(feature = "native-tls"))]
    #[tokio::test]
    async fn a_certificate_that_nobody_vouches_for_is_refused() {
        let server = TlsPeer::start().await;
        distrusts(server.builder().build().unwrap()).await;
        assert_eq!(server.peer.behave().connections, 0);
    }

    #[tokio::test]
    async fn a_certificate_for_another_name_is_refused() {
        let server = TlsPeer::start().await;
        let url = format!("wss://127.0.0.1:{}/", server.port);
        distrusts(quick(url).rustls(trusting(&server.certificate)).build().unwrap()).await;
    }

    #[tokio::test]
    async fn the_default_of_the_process_is_neither_needed_nor_set() {
        let server = TlsPeer::start().await;
        distrusts(server.builder().build().unwrap()).await;
        assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    }
}

#[cfg(feature = "native-tls")]
mod by_the_system {
    use super::*;

    #[tokio::test]
    async fn a_conversation_over_the_systems_tls() {
        let server = TlsPeer::start().await;
        let root = native_tls::Certificate::from_der(&server.certificate).unwrap();
        let connector = native_tls::TlsConnector::builder().add_root_certificate(root).build().unwrap();
        let client = server.builder().native_tls(connector).build().unwrap();
        converses(&server, client).await;
    }

    #[tokio::test]
    async fn a_certificate_that_nobody_vouches_for_is_refused() {
        let server = TlsPeer::start().await;
        let connector = native_tls::TlsConnector::new().unwrap();
        distrusts(server.builder().native_tls(connector).build().unwrap()).await;
    }
}
