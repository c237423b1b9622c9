//! The thread on which a storage may block.
//!
//! Owns the storage, and carries the core's orders out one after the other. The driver never waits for it: it
//! hands orders over and takes the answers as inputs. A storage that panics is one that has failed.

use super::{Storage, StorageError};
use homing_core::{Input, Record, Scope, StorageOrder};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How long a storage that another client has is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The driver's end; dropping it ends the thread once every order is carried out.
pub(crate) struct Keeper {
    orders: Option<mpsc::Sender<StorageOrder>>,
    answers: UnboundedReceiver<Answer>,
    erased: mpsc::Receiver<Result<(), StorageError>>,
    /// Scopes that were ordered to be opened: the answer for one that was left since is nobody's any more.
    opens: u64,
}

/// An answer, and how many scopes had been opened by then.
type Answer = (u64, Input<'static>);

impl Keeper {
    /// # Errors
    /// What the operating system says where it gives no thread.
    pub(crate) fn start(storage: Box<dyn Storage>) -> std::io::Result<Self> {
        let (orders, receiver) = mpsc::channel();
        let (sender, answers) = unbounded_channel();
        let (tell_erased, erased) = mpsc::channel();
        let work = move || run(storage, &receiver, &sender, &tell_erased);
        thread::Builder::new().name("homing-storage".into()).spawn(work)?;
        Ok(Self { orders: Some(orders), answers, erased, opens: 0 })
    }

    /// Hands an order over. One that comes after the thread's end has a deadline in the core.
    pub(crate) fn order(&mut self, order: StorageOrder) {
        self.opens += u64::from(matches!(order, StorageOrder::Open { .. }));
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
    }

    /// The next answer; never, behind the last one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Input<'static> {
        while let Some((opens, answer)) = self.answers.recv().await {
            if opens == self.opens {
                return answer;
            }
        }
        std::future::pending().await
    }

    /// Waits until every order is carried out and the storage is let go of; answers how an order to erase ended,
    /// if there was one.
    pub(crate) async fn finish(mut self) -> Option<Result<(), StorageError>> {
        self.orders = None;
        while self.answers.recv().await.is_some() {}
        self.erased.try_recv().ok()
    }
}

fn run(
    mut storage: Box<dyn Storage>,
    orders: &mpsc::Receiver<StorageOrder>,
    answers: &UnboundedSender<Answer>,
    erased: &mpsc::Sender<Result<(), StorageError>>,
) {
    let mut opens = 0;
    while let Ok(order) = orders.recv() {
        // A client that has ended asks for no answers.
        match order {
            StorageOrder::Open { scope } => {
                opens += 1;
                let records = guarded(|| open(&mut *storage, &scope));
                let records = records.map_err(Into::into);
                let _ = answers.send((opens, Input::StorageOpened { records }));
            }
            StorageOrder::Write { write, ops } => {
                let result = guarded(|| storage.write(&ops));
                let result = result.map_err(|error| error.to_string().into());
                let _ = answers.send((opens, Input::Stored { write, result }));
            }
            StorageOrder::Erase => drop(erased.send(guarded(|| storage.erase()))),
        }
    }
    // Whoever waits for the end may open it again at once.
    drop(storage);
}

/// Opens, and waits a little for a client that is on its way out: one that was dropped ends in the background.
fn open(storage: &mut dyn Storage, scope: &Scope) -> Result<Vec<Record>, StorageError> {
    let patience = Instant::now() + PATIENCE;
    loop {
        match storage.open(scope) {
            Err(StorageError::InUse { .. }) if Instant::now() < patience => thread::sleep(LOOK_AGAIN),
            opened => return opened,
        }
    }
}

pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, StorageError>) -> Result<T, StorageError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(StorageError::Failed { what: "the storage".into(), why: "it panicked".into() })
    })
}
