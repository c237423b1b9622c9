//! Who a client is: verifies connection and subscription tokens, and tells which origins may connect.
//!
//! Verification is a [`Call`]: done at once, unless keys have to be fetched. Nothing here logs a token.

mod claims;
mod jwks;
mod mint;
mod origin;
mod verifier;

use crate::{
    config::{ConfigError, Token},
    engine::Call,
};

pub use claims::{ConnectionClaims, SubscriptionClaims, TokenSubscription};
pub use mint::{Minted, mint};
pub use origin::Origins;
pub use verifier::Verifier;

/// Why a token was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not valid, and never will be.
    #[error("invalid token: {0}")]
    Invalid(String),
    /// It was valid once.
    #[error("token expired")]
    Expired,
    /// Its key cannot be had at present.
    #[error("the key set cannot be fetched: {0}")]
    Unavailable(String),
}

/// A verification that was asked for.
pub type Verification<T> = Call<T, TokenError>;

/// Refuses keys that cannot be read.
pub(crate) fn check(token: &Token, path: &str) -> Result<(), ConfigError> {
    Verifier::new(token)
        .map(|_| ())
        .map_err(|(key, reason)| ConfigError::invalid(format!("{path}.{key}"), reason))
}
