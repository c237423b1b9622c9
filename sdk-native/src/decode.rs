//! Payloads as the app's own types: JSON text from the core into anything that serde can read.

use homing_core::{Error, ErrorCode, Json, Message};
use serde::de::DeserializeOwned;

/// Reads a payload as a type of the app.
pub trait Decode {
    /// The payload as a `T`.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidPayload`] with the place and reason where the payload is no `T`.
    fn decode<T: DeserializeOwned>(&self) -> Result<T, Error>;
}

impl Decode for Json {
    fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(self.as_str()).map_err(|error| invalid_payload(&error))
    }
}

impl Decode for Message {
    fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.data.decode()
    }
}

pub(crate) fn invalid_payload(error: &serde_json::Error) -> Error {
    Error::new(ErrorCode::InvalidPayload).with_detail(&error.to_string())
}
