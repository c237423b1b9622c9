//! JSON that programs give the server for its clients: as it stands, or in base64. Says what is wrong with
//! what cannot be given to a client. Used by the API, by what hooks answer, and by what tokens claim.

use crate::frames;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use homing_core::wire::{Raw, json::DecodeError};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Levels that a frame adds around a value.
const FRAME: usize = 8;

/// Which of a program's fields it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// `data` and `b64data`.
    Data,
    /// `info` and `b64info`.
    Info,
    /// `meta`, which no client sees; never in base64.
    Meta,
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::Info => "info",
            Self::Meta => "meta",
        })
    }
}

/// Why something is no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PayloadError {
    /// It should be base64.
    #[error("b64{0}: not base64 (standard alphabet, padded)")]
    Base64(Field),
    /// Its base64 holds something else.
    #[error("b64{0}: what it holds is {1}; payloads are JSON, binary ones are not supported")]
    Binary(Field, &'static str),
    /// It is not JSON that clients read.
    #[error("{0}: {1}")]
    Json(Field, DecodeError),
}

/// The JSON of two fields. Where both are there, the one in base64 counts, as in Centrifugo.
pub(crate) fn text<'a>(
    field: Field,
    plain: Option<&'a RawValue>,
    encoded: Option<&str>,
) -> Result<Option<Cow<'a, str>>, PayloadError> {
    let Some(encoded) = encoded.filter(|encoded| !encoded.is_empty()) else {
        return Ok(plain.map(|plain| plain.get().into()));
    };
    let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| PayloadError::Base64(field))?;
    let text = String::from_utf8(bytes).map_err(|_| PayloadError::Binary(field, "not UTF-8"))?;
    Raw::new(&text).map_err(|error| PayloadError::Binary(field, error.what()))?;
    Ok(Some(text.into()))
}

/// The same on one line, where `null` says nothing, and nested no deeper than clients read it in a frame.
pub(crate) fn line(
    field: Field,
    plain: Option<&RawValue>,
    encoded: Option<&str>,
) -> Result<Option<Box<str>>, PayloadError> {
    let Some(text) = text(field, plain, encoded)?.filter(|text| text.trim_ascii() != "null") else {
        return Ok(None);
    };
    Raw::new(&[&"[".repeat(FRAME), &*text, &"]".repeat(FRAME)].concat())
        .map_err(|error| PayloadError::Json(field, error))?;
    Ok(Some(frames::on_one_line(&text).into()))
}
