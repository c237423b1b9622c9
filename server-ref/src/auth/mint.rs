//! Makes tokens for development, with the secret that the server checks them with.

use jsonwebtoken::{EncodingKey, Header, encode};
use serde::Serialize;

/// What a token is to claim.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Minted {
    /// Id of the user.
    pub sub: String,
    /// Unix seconds at which it expires; `None`: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// Unix seconds at which it was made.
    pub iat: i64,
    /// The channel, which makes it a subscription token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Channels that the server subscribes the connection to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// JSON put into presence and publications.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<serde_json::Value>,
    /// Expected audience.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// Expected issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
}

/// Signs a token with HS256.
///
/// # Errors
/// What the signing library says.
pub fn mint(claims: &Minted, secret: &str) -> Result<String, String> {
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::default(), claims, &key).map_err(|error| error.to_string())
}
