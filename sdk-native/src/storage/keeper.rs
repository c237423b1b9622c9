//! The thread on which a storage may block.
//!
//! Owns the storage, and carries the core's orders out one after the other. The driver never waits for it: it
//! hands orders over and takes the answers as inputs. A storage that panics is one that has failed.

use super::{Storage, StorageError};
use homing_core::{Input, Record, StorageOrder};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The driver's end; dropping it ends the thread once every order is carried out.
pub(crate) struct Keeper {
    orders: Option<mpsc::Sender<StorageOrder>>,
    answers: UnboundedReceiver<Input<'static>>,
}

impl Keeper {
    /// # Errors
    /// What the operating system says where it gives no thread.
    pub(crate) fn start(storage: Box<dyn Storage>) -> std::io::Result<Self> {
        let (orders, receiver) = mpsc::channel();
        let (sender, answers) = unbounded_channel();
        let work = move || run(storage, &receiver, &sender);
        thread::Builder::new().name("homing-storage".into()).spawn(work)?;
        Ok(Self { orders: Some(orders), answers })
    }

    /// Hands an order over. One that comes after the thread's end has a deadline in the core.
    pub(crate) fn order(&self, order: StorageOrder) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
    }

    /// The next answer; never, behind the last one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Input<'static> {
        match self.answers.recv().await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    /// Waits until every order is carried out and the storage is let go of.
    pub(crate) async fn finish(mut self) {
        self.orders = None;
        while self.answers.recv().await.is_some() {}
    }
}

fn run(
    mut storage: Box<dyn Storage>,
    orders: &mpsc::Receiver<StorageOrder>,
    answers: &UnboundedSender<Input<'static>>,
) {
    while let Ok(order) = orders.recv() {
        // A client that has ended asks for no answers.
        match order {
            StorageOrder::Open { scope } => {
                let records: Result<Vec<Record>, _> = guarded(|| storage.open(&scope));
                let _ = answers.send(Input::StorageOpened { records: records.map_err(Into::into) });
            }
            StorageOrder::Write { write, ops } => {
                let result = guarded(|| storage.write(&ops));
                let _ = answers
                    .send(Input::Stored { write, result: result.map_err(|error| error.to_string().into()) });
            }
            StorageOrder::Erase => drop(guarded(|| storage.erase())),
        }
    }
    // Whoever waits for the end may open it again at once.
    drop(storage);
}

pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, StorageError>) -> Result<T, StorageError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(StorageError::Failed { what: "the storage".into(), why: "it panicked".into() })
    })
}
