//! The application's calls: over HTTP, and in Rust through [`Handle`](crate::serve::Handle).
//!
//! Knows requests, results and errors, and how a method is carried out. Knows nothing of sockets: the routes
//! are [`crate::serve`]'s.

mod batch;
pub(crate) mod calls;
mod error;
mod method;
mod openapi;
mod pattern;
mod request;
mod result;

use crate::serve::Handle;

pub use calls::{HistoryQuery, PublishOptions, Publishing};
pub use error::CallError;
pub use method::Method;
pub use openapi::openapi;
pub use pattern::{BadPattern, Pattern};
pub(crate) use request::{Override, checked};

/// Carries out what a request asks for: a method's name, and its body. Answers the body of the response, and
/// the error in it, if it is one.
pub(crate) async fn respond(handle: &Handle, name: &str, body: &[u8]) -> (String, Option<CallError>) {
    let method = match Method::named(name) {
        Ok(method) => method,
        Err(error) => return (told(&error), Some(error)),
    };
    let outcome = match method {
        Method::Batch => batch::call(handle, body).await,
        method => method.call(handle, body).await,
    };
    handle.node.metrics.api.count(method, outcome.is_ok());
    match outcome {
        Ok(result) => {
            let field = if method == Method::Batch { "replies" } else { "result" };
            (format!("{{\"{field}\":{result}}}"), None)
        }
        Err(error) => (told(&error), Some(error)),
    }
}

/// The body that tells an error.
pub(crate) fn told(error: &CallError) -> String {
    let error = method::encode(&result::Error::from(error)).unwrap_or_default();
    format!("{{\"error\":{error}}}")
}
