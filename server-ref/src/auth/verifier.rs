//! Checks signatures and times of tokens against configured keys, or keys of a fetched set.

use super::{ConnectionClaims, SubscriptionClaims, TokenError, Verification, claims::Claims, jwks::KeySet};
use crate::{clock::Clock, config::Token, engine::Call};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, Validation, decode, decode_header, errors::ErrorKind,
};
use serde_json::value::RawValue;
use std::sync::Arc;

/// The keys that tokens are checked with, and what is expected of their claims.
#[derive(Clone)]
pub struct Verifier {
    keys: Arc<[(AlgorithmFamily, DecodingKey)]>,
    key_set: Option<Arc<KeySet>>,
    expected: Arc<Expected>,
}

struct Expected {
    audience: Option<String>,
    issuer: Option<String>,
    user_claim: Option<String>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let families: Vec<_> = self.keys.iter().map(|(family, _)| family).collect();
        f.debug_struct("Verifier").field("families", &families).finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier with these keys.
    ///
    /// # Errors
    /// The name of the key that cannot be read, and why.
    pub fn new(token: &Token) -> Result<Self, (&'static str, String)> {
        let mut keys = Vec::new();
        for secret in [&token.hmac_secret_key, &token.hmac_previous_secret_key].into_iter().flatten() {
            if !secret.is_empty() {
                keys.push((AlgorithmFamily::Hmac, DecodingKey::from_secret(secret.as_bytes())));
            }
        }
        type Read = fn(&[u8]) -> jsonwebtoken::errors::Result<DecodingKey>;
        let pems: [(&'static str, &Option<String>, AlgorithmFamily, Read); 3] = [
            ("rsa_public_key", &token.rsa_public_key, AlgorithmFamily::Rsa, DecodingKey::from_rsa_pem),
            ("ecdsa_public_key", &token.ecdsa_public_key, AlgorithmFamily::Ec, DecodingKey::from_ec_pem),
            ("ed25519_public_key", &token.ed25519_public_key, AlgorithmFamily::Ed, DecodingKey::from_ed_pem),
        ];
        for (name, pem, family, read) in pems {
            if let Some(pem) = pem.as_ref().filter(|pem| !pem.is_empty()) {
                let key = read(pem.as_bytes()).map_err(|_| {
                    (name, "is no such key as PEM, which begins with -----BEGIN PUBLIC KEY-----".into())
                })?;
                keys.push((family, key));
            }
        }
        let key_set = match token.jwks_public_endpoint.as_deref() {
            None | Some("") => None,
            Some(url) => Some(Arc::new(KeySet::new(url).map_err(|reason| ("jwks_public_endpoint", reason))?)),
        };
        let expected = Expected {
            audience: token.audience.clone().filter(|text| !text.is_empty()),
            issuer: token.issuer.clone().filter(|text| !text.is_empty()),
            user_claim: token.user_id_claim.clone().filter(|text| !text.is_empty()),
        };
        Ok(Self { keys: keys.into(), key_set, expected: Arc::new(expected) })
    }

    /// Whether there is anything to check tokens with.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        !self.keys.is_empty() || self.key_set.is_some()
    }

    /// Verifies a connection token.
    pub fn connection(&self, token: &str, clock: &Arc<dyn Clock>) -> Verification<ConnectionClaims> {
        self.verify(token, clock, |claims, user| claims.connection(user))
    }

    /// Verifies a subscription token.
    pub fn subscription(&self, token: &str, clock: &Arc<dyn Clock>) -> Verification<SubscriptionClaims> {
        self.verify(token, clock, |claims, user| claims.subscription(user))
    }

    fn verify<T: Send + 'static>(
        &self,
        token: &str,
        clock: &Arc<dyn Clock>,
        take: fn(Claims<'_>, String) -> Result<T, TokenError>,
    ) -> Verification<T> {
        let header = match decode_header(token) {
            Ok(header) => header,
            Err(error) => return Call::Ready(Err(TokenError::Invalid(format!("it is no JWT ({error})")))),
        };
        let unix = clock.unix();
        let mut last = TokenError::Invalid(format!("no key for {:?}", header.alg));
        for (_, key) in self.keys.iter().filter(|(family, _)| family.algorithms().contains(&header.alg)) {
            match self.expected.check(token, header.alg, key, unix, take) {
                Err(error @ TokenError::Invalid(_)) => last = error,
                decided => return Call::Ready(decided),
            }
        }
        let Some(key_set) = &self.key_set else { return Call::Ready(Err(last)) };
        let kid = header.kid.unwrap_or_default();
        if let Some(key) = key_set.cached(&kid, clock.now()) {
            return Call::Ready(self.expected.check(token, header.alg, &key, unix, take));
        }
        let (key_set, clock) = (Arc::clone(key_set), Arc::clone(clock));
        let (expected, token, alg) = (Arc::clone(&self.expected), token.to_owned(), header.alg);
        Call::Pending(Box::pin(async move {
            let key = key_set.fetched(&kid, &*clock).await?;
            expected.check(&token, alg, &key, clock.unix(), take)
        }))
    }
}

impl Expected {
    fn check<T>(
        &self,
        token: &str,
        algorithm: Algorithm,
        key: &DecodingKey,
        unix: i64,
        take: fn(Claims<'_>, String) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let invalid = |reason: &str| TokenError::Invalid(reason.to_owned());
        // Only the signature: times are judged on the server's clock, not on one inside the library.
        let mut validation = Validation::new(algorithm);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let data = decode::<Box<RawValue>>(token, key, &validation).map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => invalid("its signature"),
            _ => TokenError::Invalid(error.to_string()),
        })?;
        let claims = Claims::read(data.claims.get())?;
        let seconds = unix as f64 / 1000.0;
        if claims.exp.is_some_and(|exp| exp <= seconds) {
            return Err(TokenError::Expired);
        }
        if claims.nbf.is_some_and(|nbf| nbf > seconds) {
            return Err(invalid("it is not valid yet"));
        }
        if let Some(issuer) = &self.issuer
            && claims.iss.as_ref() != Some(issuer)
        {
            return Err(invalid("its issuer"));
        }
        if let Some(audience) = &self.audience
            && !claims.aud.as_ref().is_some_and(|aud| aud.holds(audience))
        {
            return Err(invalid("its audience"));
        }
        let user = match &self.user_claim {
            None => claims.sub.clone(),
            Some(name) => {
                let all: serde_json::Map<String, serde_json::Value> =
                    serde_json::from_str(data.claims.get()).map_err(|_| invalid("its claims"))?;
                match all.get(name) {
                    None => String::new(),
                    Some(serde_json::Value::String(user)) => user.clone(),
                    Some(serde_json::Value::Number(user)) => user.to_string(),
                    Some(_) => return Err(invalid("its user")),
                }
            }
        };
        take(claims, user)
    }
}
