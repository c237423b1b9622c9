//! Procedures that an application offers to its clients, and what it does with messages that want no answer.

use crate::engine::Call;
use bytes::Bytes;
use std::{collections::BTreeMap, future::Future, sync::Arc};

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Id of the user; empty: anonymous.
    pub user: Arc<str>,
    /// Id of the connection.
    pub client: Arc<str>,
}

/// Why a procedure was not carried out, as the client is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct ProcedureError {
    /// 400 to 1999 belong to the application.
    pub code: u32,
    /// For a developer to read.
    pub message: String,
    /// Whether the same call may succeed later.
    pub temporary: bool,
}

/// A result: JSON, or nothing.
pub type ProcedureResult = Result<Option<Bytes>, ProcedureError>;

type Procedure = Arc<dyn Fn(Caller, Option<Bytes>) -> Call<Option<Bytes>, ProcedureError> + Send + Sync>;

type TakeMessage = Arc<dyn Fn(Caller, Option<Bytes>) + Send + Sync>;

/// What clients can call, by name.
#[derive(Clone, Default)]
pub struct Procedures {
    by_name: BTreeMap<String, Procedure>,
    messages: Option<TakeMessage>,
}

impl std::fmt::Debug for Procedures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

impl Procedures {
    /// Offers a procedure. Its argument and result are JSON text.
    pub fn add<F, R>(&mut self, name: impl Into<String>, procedure: F)
    where
        F: Fn(Caller, Option<Bytes>) -> R + Send + Sync + 'static,
        R: Future<Output = ProcedureResult> + Send + 'static,
    {
        let procedure = move |caller, data| Call::Pending(Box::pin(procedure(caller, data)) as _);
        self.by_name.insert(name.into(), Arc::new(procedure));
    }

    /// Takes messages that want no answer.
    pub fn on_message(&mut self, take: impl Fn(Caller, Option<Bytes>) + Send + Sync + 'static) {
        self.messages = Some(Arc::new(take));
    }

    pub(crate) fn call(
        &self,
        name: &str,
        caller: Caller,
        data: Option<Bytes>,
    ) -> Option<Call<Option<Bytes>, ProcedureError>> {
        self.by_name.get(name).map(|procedure| procedure(caller, data))
    }

    pub(crate) fn message(&self, caller: Caller, data: Option<Bytes>) {
        if let Some(take) = &self.messages {
            take(caller, data);
        }
    }
}
