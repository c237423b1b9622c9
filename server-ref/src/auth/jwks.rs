//! A set of public keys behind a URL: fetched when a key is missing, one fetch at a time and not too often,
//! kept for an hour, bounded in size.

use super::TokenError;
use crate::clock::{Clock, Millis};
use jsonwebtoken::{DecodingKey, jwk::JwkSet};
use parking_lot::Mutex;
use std::{collections::BTreeMap, time::Duration};

const FRESH: Millis = 3_600_000;

/// A token with an unknown key id must not make the server fetch without end.
const PAUSE: Millis = 10_000;

const MAX_BYTES: usize = 256 * 1024;
const MAX_KEYS: usize = 64;
const TIMEOUT: Duration = Duration::from_secs(3);

pub(super) struct KeySet {
    url: reqwest::Url,
    http: reqwest::Client,
    cache: Mutex<Cache>,
    flight: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Cache {
    keys: BTreeMap<String, DecodingKey>,
    fetched_at: Option<Millis>,
}

impl KeySet {
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let url: reqwest::Url = url.parse().map_err(|_| "is no URL".to_owned())?;
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { url, http, cache: Mutex::default(), flight: tokio::sync::Mutex::default() })
    }

    pub(super) fn cached(&self, kid: &str, now: Millis) -> Option<DecodingKey> {
        let cache = self.cache.lock();
        let fresh = cache.fetched_at.is_some_and(|at| now.saturating_sub(at) < FRESH);
        if fresh { cache.find(kid) } else { None }
    }

    pub(super) async fn fetched(&self, kid: &str, clock: &dyn Clock) -> Result<DecodingKey, TokenError> {
        let _flight = self.flight.lock().await;
        let now = clock.now();
        let unknown = || TokenError::Invalid("no key with its id".into());
        if let Some(key) = self.cached(kid, now) {
            return Ok(key);
        }
        if self.cache.lock().fetched_at.is_some_and(|at| now.saturating_sub(at) < PAUSE) {
            return Err(unknown());
        }
        match self.fetch().await {
            Ok(keys) => *self.cache.lock() = Cache { keys, fetched_at: Some(now) },
            // Keys that are out of date are better than none while their source is away.
            Err(reason) => {
                let old = self.cache.lock().find(kid);
                return old.ok_or(TokenError::Unavailable(reason));
            }
        }
        self.cached(kid, now).ok_or_else(unknown)
    }

    async fn fetch(&self) -> Result<BTreeMap<String, DecodingKey>, String> {
        let request = self.http.get(self.url.clone()).send();
        let mut response = request.await.and_then(reqwest::Response::error_for_status).map_err(plain)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(plain)? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err("the key set is too large".into());
            }
            body.extend_from_slice(&chunk);
        }
        let set: JwkSet = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let readable = set.keys.iter().filter_map(|key| {
            let kid = key.common.key_id.clone().unwrap_or_default();
            Some((kid, DecodingKey::from_jwk(key).ok()?))
        });
        Ok(readable.take(MAX_KEYS).collect())
    }
}

impl Cache {
    /// A token without a key id is checked with the only key there is.
    fn find(&self, kid: &str) -> Option<DecodingKey> {
        if kid.is_empty() && self.keys.len() == 1 {
            return self.keys.values().next().cloned();
        }
        self.keys.get(kid).cloned()
    }
}

fn plain(error: reqwest::Error) -> String {
    error.without_url().to_string()
}
