//! Whose messages they are, and what happens where a storage cannot be used.

use homing::{
    ClientEvent, ClientEvents, Decode, Error, ErrorCode, FileStorage, Kept, MemoryStorage, Record, Scope,
    Storage, StorageError, StorageOp,
};
use homing_tests::stage::{Embedded, Folder, builder, connected, expect, next, soon, until};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

/// The next error that the client tells.
async fn warning(events: &mut ClientEvents) -> Error {
    soon(async {
        loop {
            if let ClientEvent::Error(error) = events.next().await.expect("an event").expect("no lag") {
                return error;
            }
        }
    })
    .await
}

#[tokio::test]
async fn nothing_of_one_user_leaves_under_another_one_who_shares_the_file() {
    let server = Embedded::start().await;
    let folder = Folder::new();
    let reader = connected(builder(server.url(), "reader"));
    let room = reader.channel("chat:room");
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    let file = || FileStorage::at(folder.file());

    // Ada knows who she is, and is offline.
    let ada = builder(server.url(), "ada").user("ada").storage(file()).build().unwrap();
    for number in [1_u64, 2] {
        let sending = ada.channel("chat:room").publish(&number);
        assert_eq!(soon(sending.stored()).await, Ok(Kept::Durably));
    }
    ada.close(Duration::from_millis(50)).await;

    // Bob's app waits for the server to name him.
    let bob = connected(builder(server.url(), "bob").storage(file()));
    let sending = bob.channel("chat:room").publish(&10_u64);
    assert_eq!(soon(sending.stored()).await, Ok(Kept::Durably));
    soon(sending).await.unwrap();
    assert_eq!((next(&mut messages).await, bob.outbox().len()), (10, 0));
    bob.close(Duration::from_secs(5)).await;

    let ada = connected(builder(server.url(), "ada").storage(file()));
    expect(&mut messages, 1..=2).await;
    until(|| ada.outbox().is_empty()).await;
    soon(ada.channel("chat:room").publish(&3_u64)).await.unwrap();
    expect(&mut messages, 3..=3).await;
}

#[tokio::test]
async fn a_user_whom_the_server_calls_otherwise_sends_nothing_of_the_one_before() {
    let server = Embedded::start().await;
    let memory = MemoryStorage::new();
    let ada = builder(server.url(), "ada").user("ada").storage(memory.clone()).build().unwrap();
    let mut events = ada.events();
    let queued = ada.channel("chat:room").publish(&1_u64);
    assert_eq!(soon(queued.stored()).await, Ok(Kept::Durably));
    ada.close(Duration::from_millis(50)).await;
    drop(events);

    let wrong = builder(server.url(), "bob").user("ada").storage(memory.clone()).build().unwrap();
    events = wrong.events();
    wrong.connect().unwrap();
    assert_eq!(warning(&mut events).await.code, ErrorCode::WrongUser);
    soon(wrong.channel("chat:room").publish(&2_u64)).await.unwrap();
    assert!(wrong.outbox().is_empty());
    let page =
        soon(wrong.channel("chat:room").history(homing::HistoryQuery { limit: 10, ..Default::default() }));
    let payloads: Vec<u64> =
        page.await.unwrap().messages.iter().map(|message| message.decode().unwrap()).collect();
    assert_eq!(payloads, [2]);
}

#[tokio::test]
async fn forgetting_erases_what_was_stored() {
    let server = Embedded::start().await;
    let folder = Folder::new();
    let ada = |connect: bool| {
        let client =
            builder(server.url(), "ada").user("ada").storage(FileStorage::at(folder.file())).build().unwrap();
        if connect {
            client.connect().unwrap();
        }
        client
    };
    let offline = ada(false);
    soon(offline.channel("chat:room").publish(&1_u64).stored()).await.unwrap();
    assert_eq!(offline.close_and_forget(Duration::from_millis(200)).await, Ok(()));
    // One that never opened it opens it for that, and one that does not know whose it is says so.
    let left = ada(false);
    soon(left.channel("chat:room").publish(&2_u64).stored()).await.unwrap();
    left.close(Duration::ZERO).await;
    let nobody = builder(server.url(), "ada").storage(FileStorage::at(folder.file())).build().unwrap();
    let told = nobody.close_and_forget(Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(told.code, ErrorCode::NotErased, "{told}");
    assert_eq!(ada(false).close_and_forget(Duration::from_secs(5)).await, Ok(()));
    let again = ada(true);
    soon(again.connected()).await.unwrap();
    assert_eq!(soon(again.outbox().kept()).await, Ok(Kept::Durably));
    assert_eq!(again.outbox().entries().await, []);
}

#[tokio::test]
async fn a_second_program_with_the_same_file_is_warned_and_goes_on_in_memory() {
    let server = Embedded::start().await;
    let folder = Folder::new();
    let client = || builder(server.url(), "ada").user("ada").storage(FileStorage::at(folder.file()));
    let first = connected(client());
    assert_eq!(soon(first.outbox().kept()).await, Ok(Kept::Durably));
    let second = client().build().unwrap();
    let mut events = second.events();
    second.connect().unwrap();
    let error = warning(&mut events).await;
    assert_eq!(error.code, ErrorCode::StorageFailed);
    assert!(error.detail.contains("in use by another client"), "{error}");
    let sending = second.channel("chat:room").publish(&1_u64);
    assert_eq!(soon(sending.stored()).await, Ok(Kept::InMemory));
    soon(sending).await.unwrap();
    soon(first.channel("chat:room").publish(&2_u64)).await.unwrap();
}

#[tokio::test]
async fn a_client_that_was_dropped_makes_room_for_the_next_one() {
    let server = Embedded::start().await;
    let folder = Folder::new();
    for number in 1..=5_u64 {
        let client =
            connected(builder(server.url(), "ada").user("ada").storage(FileStorage::at(folder.file())));
        let sending = client.channel("chat:room").publish(&number);
        assert_eq!(soon(sending.stored()).await, Ok(Kept::Durably));
        assert_eq!(soon(sending).await.unwrap().position.unwrap().offset, number);
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_or_read_is_told_and_kept_as_it_is() {
    let server = Embedded::start().await;
    let folder = Folder::new();
    std::fs::write(folder.file(), "no database at all").unwrap();
    for path in [folder.file(), folder.path().clone(), PathBuf::from("/proc/outbox.redb")] {
        let client =
            builder(server.url(), "ada").user("ada").storage(FileStorage::at(&path)).build().unwrap();
        let mut events = client.events();
        client.connect().unwrap();
        let error = warning(&mut events).await;
        assert_eq!(error.code, ErrorCode::StorageFailed, "{error}");
        assert!(error.detail.contains(path.to_str().unwrap()), "{error}");
        let sending = client.channel("chat:room").publish(&1_u64);
        assert_eq!(soon(sending.stored()).await, Ok(Kept::InMemory));
        soon(sending).await.unwrap();
        client.close(Duration::from_secs(5)).await;
    }
    assert_eq!(std::fs::read(folder.file()).unwrap(), b"no database at all");
}

/// A storage that fails from its nth write on.
struct Breaking {
    inner: MemoryStorage,
    left: AtomicU32,
}

impl Storage for Breaking {
    fn open(&mut self, scope: &Scope) -> Result<Vec<Record>, StorageError> {
        self.inner.open(scope)
    }

    fn write(&mut self, ops: &[StorageOp]) -> Result<(), StorageError> {
        let enough = |left: u32| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough).is_err() {
            return Err(StorageError::Failed { what: "the disk".into(), why: "it is full".into() });
        }
        self.inner.write(ops)
    }

    fn erase(&mut self) -> Result<(), StorageError> {
        self.inner.erase()
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_is_told_and_nothing_is_lost_or_doubled() {
    let server = Embedded::start().await;
    let reader = connected(builder(server.url(), "reader"));
    let room = reader.channel("chat:room");
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    let mut base = 0;
    for writes in [0, 1, 2, 3, 7] {
        let storage = Breaking { inner: MemoryStorage::new(), left: AtomicU32::new(writes) };
        let client = builder(server.url(), "ada").user("ada").storage(storage).build().unwrap();
        let mut events = client.events();
        client.connect().unwrap();
        let mut sent = Vec::new();
        for number in base + 1..=base + 50 {
            sent.push(client.channel("chat:room").publish(&number));
            if number % 10 == 0 {
                let _ = soon(sent.last().unwrap().stored()).await;
            }
        }
        let error = warning(&mut events).await;
        assert!(error.code == ErrorCode::StorageFailed && error.detail.contains("it is full"), "{error}");
        for sending in sent {
            soon(sending).await.unwrap();
        }
        expect(&mut messages, base + 1..=base + 50).await;
        base += 50;
        client.close(Duration::from_secs(5)).await;
    }
}

/// A storage that stands still until it is told otherwise.
struct Frozen {
    inner: MemoryStorage,
    thaw: mpsc::Receiver<()>,
    is_frozen: Arc<AtomicBool>,
}

impl Storage for Frozen {
    fn open(&mut self, scope: &Scope) -> Result<Vec<Record>, StorageError> {
        self.inner.open(scope)
    }

    fn write(&mut self, ops: &[StorageOp]) -> Result<(), StorageError> {
        self.is_frozen.store(true, Ordering::Relaxed);
        let _ = self.thaw.recv();
        self.inner.write(ops)
    }

    fn erase(&mut self) -> Result<(), StorageError> {
        self.inner.erase()
    }
}

#[tokio::test]
async fn a_storage_that_stands_still_holds_up_nothing_but_what_waits_for_it() {
    let server = Embedded::start().await;
    let (thawing, thaw) = mpsc::channel();
    let is_frozen = Arc::new(AtomicBool::new(false));
    let storage = Frozen { inner: MemoryStorage::new(), thaw, is_frozen: is_frozen.clone() };
    let client = connected(builder(server.url(), "ada").user("ada").storage(storage));
    let other = connected(builder(server.url(), "eve"));
    let room = client.channel("chat:room");
    let mut messages = room.messages();
    soon(room.join()).await.unwrap();
    let waiting = room.publish(&100_u64);
    until(|| is_frozen.load(Ordering::Relaxed)).await;
    for number in 1..=20_u64 {
        soon(other.channel("chat:room").publish(&number)).await.unwrap();
    }
    expect(&mut messages, 1..=20).await;
    soon(room.presence().get()).await.unwrap();
    assert_eq!(client.outbox().len(), 1);
    drop(thawing);
    soon(waiting).await.unwrap();
    expect(&mut messages, 100..=100).await;
}
