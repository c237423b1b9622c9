//! Why a call of the application was refused, with the protocol's numbers.

use super::pattern::BadPattern;
use crate::{engine::EngineError, payload::PayloadError};
use homing_core::wire::ErrorCode;
use std::borrow::Cow;

/// Why a call of the application failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It makes no sense, or the channel does not offer it; nothing was done.
    #[error("{message}")]
    Refused {
        /// The protocol's number.
        code: ErrorCode,
        /// What was wrong.
        message: Cow<'static, str>,
    },
    /// The engine did not carry it out, or may not have.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl CallError {
    pub(crate) fn bad_request(what: impl std::fmt::Display) -> Self {
        Self::because(ErrorCode::BadRequest, what)
    }

    pub(crate) fn because(code: ErrorCode, what: impl std::fmt::Display) -> Self {
        Self::Refused { code, message: format!("{}: {what}", code.text()).into() }
    }

    /// The protocol's number.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Refused { code, .. } => *code,
            Self::Engine(_) => ErrorCode::Internal,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.code().is_temporary()
    }
}

impl From<ErrorCode> for CallError {
    fn from(code: ErrorCode) -> Self {
        Self::Refused { code, message: code.text().into() }
    }
}

impl From<PayloadError> for CallError {
    fn from(error: PayloadError) -> Self {
        Self::bad_request(error)
    }
}

impl From<BadPattern> for CallError {
    fn from(bad: BadPattern) -> Self {
        Self::bad_request(bad)
    }
}
