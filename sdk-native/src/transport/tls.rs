//! Encryption of the stream under a `wss` socket, by whichever library the build has.
//!
//! Owns the default configuration. It names its crypto provider: the process-wide default is never read and
//! never set, so an app may have another one, or several.

use super::BoxedIo;
use crate::{BuildError, TransportError};

/// What a `wss` socket is encrypted with.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    #[cfg(feature = "rustls")]
    pub(crate) rustls: Option<std::sync::Arc<rustls::ClientConfig>>,
    #[cfg(feature = "native-tls")]
    pub(crate) native: Option<native_tls::TlsConnector>,
}

impl Tls {
    /// Fills in what the app left open. rustls goes first, unless the app brought a native connector.
    #[cfg_attr(
        not(any(feature = "rustls", feature = "native-tls")),
        expect(clippy::unnecessary_wraps, reason = "nothing to do without TLS")
    )]
    pub(crate) fn complete(self) -> Result<Self, BuildError> {
        #[cfg(any(feature = "rustls", feature = "native-tls"))]
        let mut this = self;
        #[cfg(not(any(feature = "rustls", feature = "native-tls")))]
        let this = self;
        #[cfg(feature = "native-tls")]
        let chosen = this.native.is_some();
        #[cfg(all(feature = "rustls", not(feature = "native-tls")))]
        let chosen = false;
        #[cfg(feature = "rustls")]
        if this.rustls.is_none() && !chosen {
            this.rustls = Some(std::sync::Arc::new(rustls_config()?));
        }
        #[cfg(all(feature = "native-tls", not(feature = "rustls")))]
        if !chosen {
            let connector =
                native_tls::TlsConnector::new().map_err(|error| BuildError::Tls(error.to_string()))?;
            this.native = Some(connector);
        }
        Ok(this)
    }

    pub(crate) const fn is_available() -> bool {
        cfg!(any(feature = "rustls", feature = "native-tls"))
    }

    /// The encrypted stream to `host` over `io`.
    #[cfg_attr(
        not(any(feature = "rustls", feature = "native-tls")),
        expect(clippy::unused_async, unused_variables, reason = "nothing to do without TLS")
    )]
    pub(crate) async fn handshake(&self, host: &str, io: BoxedIo) -> Result<BoxedIo, TransportError> {
        #[cfg(feature = "native-tls")]
        if let Some(connector) = &self.native {
            let connector = tokio_native_tls::TlsConnector::from(connector.clone());
            let stream = connector.connect(host, io).await.map_err(failed)?;
            return Ok(Box::new(stream));
        }
        #[cfg(feature = "rustls")]
        if let Some(config) = &self.rustls {
            let name = rustls::pki_types::ServerName::try_from(host.to_owned()).map_err(failed)?;
            let connector = tokio_rustls::TlsConnector::from(config.clone());
            let stream = connector.connect(name, io).await.map_err(failed)?;
            return Ok(Box::new(stream));
        }
        Err(TransportError::TlsUnavailable)
    }
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn failed(error: impl std::fmt::Display) -> TransportError {
    TransportError::failed(crate::Stage::Tls, error)
}

#[cfg(feature = "rustls")]
fn rustls_config() -> Result<rustls::ClientConfig, BuildError> {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| BuildError::Tls(error.to_string()))?;
    Ok(builder.with_root_certificates(roots()?).with_no_client_auth())
}

#[cfg(all(feature = "rustls", not(feature = "native-certs")))]
#[expect(clippy::unnecessary_wraps, reason = "the other source of certificates can fail")]
fn roots() -> Result<rustls::RootCertStore, BuildError> {
    Ok(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
}

#[cfg(feature = "native-certs")]
fn roots() -> Result<rustls::RootCertStore, BuildError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        return Err(BuildError::Tls(format!("the operating system has no root certificates{why}")));
    }
    Ok(roots)
}
