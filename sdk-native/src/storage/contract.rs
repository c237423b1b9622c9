//! The storage contract (`tests/golden/storage/contract.json`), played on the file and on memory, and what only
//! a file can go through: crashes in mid-write, a disk that fills up, damage, a newer format.

use super::{
    FileStorage, Keeper, MemoryStorage, Storage, StorageError,
    file::{table, table_of},
};
use homing_core::{ErrorCode, Input, Record, Scope, StorageOp, StorageOrder, WriteId};
use redb::{Database, StorageBackend};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("homing-storage-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("outbox.redb")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file on a disk that takes so many more writes, and none behind them.
#[derive(Debug)]
struct SmallDisk {
    file: Mutex<File>,
    left: Arc<AtomicI64>,
}

impl SmallDisk {
    fn database(path: &Path, left: &Arc<AtomicI64>) -> Database {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap();
        let disk = Self { file: Mutex::new(file), left: left.clone() };
        Database::builder().create_with_backend(disk).unwrap()
    }

    fn change(&self, act: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        if self.left.fetch_sub(1, Ordering::Relaxed) <= 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        act(&mut self.file.lock().unwrap())
    }
}

impl StorageBackend for SmallDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.lock().unwrap().metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut file = self.file.lock().unwrap();
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|file| file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(|file| file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(|file| {
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(data)
        })
    }
}

/// What plays the contract on one kind of storage.
trait Bench {
    fn storage(&self) -> Box<dyn Storage>;
    /// A storage whose next write cannot be finished, where there is such a thing.
    fn failing(&self) -> Option<Box<dyn Storage>>;
    /// The process dies: what it had open is let go of as it stands.
    async fn die(&self, keeper: Keeper);
    fn put(&self, scope: &Scope, key: &str, value: &str);
}

impl Bench for Folder {
    fn storage(&self) -> Box<dyn Storage> {
        Box::new(FileStorage::at(self.file()))
    }

    fn failing(&self) -> Option<Box<dyn Storage>> {
        let left = Arc::new(AtomicI64::new(i64::MAX));
        let database = SmallDisk::database(&self.file(), &left);
        left.store(1, Ordering::Relaxed);
        Some(Box::new(FileStorage::over(self.file(), database)))
    }

    async fn die(&self, keeper: Keeper) {
        // The file as a crash leaves it: nothing that a drop still writes counts.
        let left = fs::read(self.file()).unwrap();
        keeper.finish().await;
        fs::write(self.file(), left).unwrap();
    }

    fn put(&self, scope: &Scope, key: &str, value: &str) {
        let database = Database::create(self.file()).unwrap();
        let transaction = database.begin_write().unwrap();
        let name = table_of(scope);
        let mut records = transaction.open_table(table(&name)).unwrap();
        records.insert(key.as_bytes(), value.as_bytes()).unwrap();
        drop(records);
        transaction.commit().unwrap();
    }
}

impl Bench for MemoryStorage {
    fn storage(&self) -> Box<dyn Storage> {
        Box::new(self.clone())
    }

    fn failing(&self) -> Option<Box<dyn Storage>> {
        None
    }

    async fn die(&self, keeper: Keeper) {
        keeper.finish().await;
    }

    fn put(&self, scope: &Scope, key: &str, value: &str) {
        let mut storage = self.clone();
        storage.open(scope).unwrap();
        storage.write(&[StorageOp::Put { key: key.into(), value: value.into() }]).unwrap();
    }
}

async fn answer(keeper: &mut Keeper) -> Input<'static> {
    tokio::time::timeout(Duration::from_secs(20), keeper.next()).await.expect("an answer in time")
}

async fn open(keeper: &mut Keeper, scope: &Scope) -> Result<BTreeMap<String, String>, homing_core::Error> {
    keeper.order(StorageOrder::Open { scope: scope.clone() });
    loop {
        match answer(keeper).await {
            Input::StorageOpened { records } => {
                let text = |(key, value): Record| (key.to_string(), value.to_string());
                return records.map(|records| records.into_iter().map(text).collect());
            }
            Input::Stored { result, .. } => result.unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

fn text(value: &Value) -> Box<str> {
    value.as_str().unwrap().into()
}

fn ops(changes: &Value) -> Vec<StorageOp> {
    let changes = changes.as_array().unwrap().iter();
    changes
        .map(|change| match &change[1] {
            Value::Null => StorageOp::Delete { key: text(&change[0]) },
            value => StorageOp::Put { key: text(&change[0]), value: text(value) },
        })
        .collect()
}

fn fill(step: &Value) -> Vec<StorageOp> {
    let (prefix, value) = (text(&step[0]), text(&step[2]));
    let key = |number| format!("{prefix}{number:04}").into();
    (0..step[1].as_u64().unwrap())
        .map(|number| StorageOp::Put { key: key(number), value: value.clone() })
        .collect()
}

/// One instance of a storage, and whose data it has open.
struct Player {
    keeper: Option<Keeper>,
    scope: Option<Scope>,
    writes: u32,
}

impl Player {
    fn write(&mut self, ops: Vec<StorageOp>) {
        self.writes += 1;
        let order = StorageOrder::Write { write: WriteId(self.writes), ops };
        self.keeper.as_mut().unwrap().order(order);
    }

    async fn stored(&mut self) -> Result<(), Box<str>> {
        match answer(self.keeper.as_mut().unwrap()).await {
            Input::Stored { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    /// Whether the case goes on.
    async fn step(&mut self, bench: &impl Bench, step: &Value) -> bool {
        if let Value::Array(pair) = &step["open"] {
            let scope = Scope { server: text(&pair[0]), user: text(&pair[1]) };
            let keeper = self.keeper.get_or_insert_with(|| Keeper::start(bench.storage()).unwrap());
            let found = open(keeper, &scope).await.unwrap();
            if let Value::Object(expected) = &step["records"] {
                let expected: BTreeMap<_, _> =
                    expected.iter().map(|(key, value)| (key.clone(), text(value).to_string())).collect();
                assert_eq!(found, expected);
            }
            if let Some(count) = step["count"].as_u64() {
                assert_eq!(found.len() as u64, count);
            }
            self.scope = Some(scope);
        } else if step["write"].is_array() {
            self.write(ops(&step["write"]));
            self.stored().await.unwrap();
        } else if step["fill"].is_array() {
            self.write(fill(&step["fill"]));
            self.stored().await.unwrap();
        } else if let Value::Array(batches) = &step["writes"] {
            batches.iter().for_each(|batch| self.write(ops(batch)));
            if step["without_waiting"] != true {
                for _ in batches {
                    self.stored().await.unwrap();
                }
            }
        } else if step["fails"].is_array() {
            self.keeper.take().unwrap().finish().await;
            let Some(failing) = bench.failing() else { return false };
            let keeper = self.keeper.insert(Keeper::start(failing).unwrap());
            open(keeper, self.scope.as_ref().unwrap()).await.unwrap();
            self.write(ops(&step["fails"]));
            let why = self.stored().await.unwrap_err();
            assert!(why.contains("outbox.redb cannot be used"), "{why}");
        } else if step["erase"] == true {
            self.keeper.as_mut().unwrap().order(StorageOrder::Erase);
        } else if step["close"] == true {
            self.keeper.take().unwrap().finish().await;
        } else if step["die"] == true {
            bench.die(self.keeper.take().unwrap()).await;
        } else if let Value::Array(put) = &step["put"] {
            let scope = Scope { server: text(&put[0]), user: text(&put[1]) };
            bench.put(&scope, &text(&put[2]), &text(&put[3]));
        } else {
            panic!("a step of another kind: {step}");
        }
        true
    }
}

async fn play<B: Bench>(bench: impl Fn() -> B) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/storage/contract.json");
    let contract: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let cases = contract["cases"].as_array().unwrap();
    assert!(cases.len() > 10);
    for case in cases {
        let bench = bench();
        let mut player = Player { keeper: None, scope: None, writes: 0 };
        for step in case["steps"].as_array().unwrap() {
            if !player.step(&bench, step).await {
                break;
            }
        }
        if let Some(keeper) = player.keeper {
            keeper.finish().await;
        }
    }
}

#[tokio::test]
async fn the_file_keeps_the_contract() {
    play(Folder::new).await;
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    play(MemoryStorage::new).await;
}

fn ada() -> Scope {
    Scope { server: "wss://a".into(), user: "ada".into() }
}

fn put(key: &str, value: &str) -> StorageOp {
    StorageOp::Put { key: key.into(), value: value.into() }
}

fn kind(error: &StorageError) -> &'static str {
    match error {
        StorageError::InUse { .. } => "in use",
        StorageError::FromFuture { .. } => "from the future",
        StorageError::Damaged { .. } => "damaged",
        StorageError::Failed { .. } => "failed",
    }
}

#[test]
fn wherever_the_disk_fills_up_a_batch_is_there_whole_or_not_at_all() {
    let folder = Folder::new();
    let mut storage = FileStorage::at(folder.file());
    storage.open(&ada()).unwrap();
    storage.write(&[put("a", "old"), put("b", "old")]).unwrap();
    drop(storage);
    let before = fs::read(folder.file()).unwrap();
    let mut failures = 0;
    for writes in 0.. {
        fs::write(folder.file(), &before).unwrap();
        let left = Arc::new(AtomicI64::new(i64::MAX));
        let mut storage = FileStorage::over(folder.file(), SmallDisk::database(&folder.file(), &left));
        storage.open(&ada()).unwrap();
        left.store(writes, Ordering::Relaxed);
        let large = "x".repeat(20_000);
        let written = storage.write(&[put("a", "new"), put("b", "new"), put("c", &large)]);
        drop(storage);
        let found: BTreeMap<_, _> =
            FileStorage::at(folder.file()).open(&ada()).unwrap().into_iter().collect();
        let values: Vec<&str> = found.values().map(|value| &value[..3]).collect();
        if written.is_ok() {
            assert_eq!(values, ["new", "new", "xxx"]);
            break;
        }
        failures += 1;
        assert!(values == ["old", "old"] || values == ["new", "new", "xxx"], "{values:?}");
    }
    assert!(failures > 3, "the disk was never full");
}

#[test]
fn a_file_that_another_client_has_open_is_refused_until_it_lets_go() {
    let folder = Folder::new();
    let mut first = FileStorage::at(folder.file());
    first.open(&ada()).unwrap();
    let mut second = FileStorage::at(folder.file());
    assert_eq!(kind(&second.open(&ada()).unwrap_err()), "in use");
    drop(first);
    second.open(&ada()).unwrap();
}

#[test]
fn one_scope_in_memory_has_one_client_at_a_time() {
    let memory = MemoryStorage::new();
    let mut first = memory.clone();
    first.open(&ada()).unwrap();
    let mut second = memory.clone();
    assert_eq!(kind(&second.open(&ada()).unwrap_err()), "in use");
    second.open(&Scope { user: "bob".into(), ..ada() }).unwrap();
    drop(first);
    second.open(&ada()).unwrap();
}

#[test]
fn what_is_not_such_a_file_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let mut storage = FileStorage::at(folder.file());
    storage.open(&ada()).unwrap();
    storage.write(&[put("a", "1")]).unwrap();
    drop(storage);
    let good = fs::read(folder.file()).unwrap();
    let mut bit_flipped = good.clone();
    bit_flipped[20] ^= 0xff;
    for (bytes, expected) in [
        (b"Dear diary, this is not a database at all.".repeat(100), "damaged"),
        (bit_flipped, "damaged"),
        (good[..5000].to_vec(), "damaged"),
    ] {
        fs::write(folder.file(), &bytes).unwrap();
        let refused = FileStorage::at(folder.file()).open(&ada()).unwrap_err();
        assert_eq!(kind(&refused), expected, "{refused}");
        assert!(fs::read(folder.file()).unwrap() == bytes, "the file was changed");
    }
}

#[test]
fn damage_anywhere_is_told_and_never_a_panic() {
    let folder = Folder::new();
    let mut storage = FileStorage::at(folder.file());
    storage.open(&ada()).unwrap();
    storage.write(&[put("a", "1"), put("b", &"x".repeat(9000))]).unwrap();
    drop(storage);
    let good = fs::read(folder.file()).unwrap();
    let (mut told, mut unharmed) = (0, 0);
    let used = good.chunks(4096).enumerate().filter(|(_, page)| page.iter().any(|byte| *byte != 0));
    for (at, place) in used.flat_map(|(page, _)| [0, 500, 3000].map(|place| (page * 4096 + place, place))) {
        let mut bytes = good.clone();
        bytes[at..at + 64 + place / 10].fill(0xaa);
        fs::write(folder.file(), &bytes).unwrap();
        let storage = FileStorage::at(folder.file());
        let opened = super::keeper::guarded(|| {
            let mut storage = storage;
            storage.open(&ada())
        });
        match opened {
            Ok(_) => unharmed += 1,
            Err(_) => told += 1,
        }
    }
    assert!(told > 0 && unharmed > 0, "{told} of {} places", told + unharmed);
}

#[test]
fn a_record_that_is_no_text_any_more_does_not_hide_the_others() {
    let folder = Folder::new();
    folder.put(&ada(), "a", "1");
    let database = Database::create(folder.file()).unwrap();
    let transaction = database.begin_write().unwrap();
    let name = table_of(&ada());
    let mut records = transaction.open_table(table(&name)).unwrap();
    records.insert(b"b".as_slice(), b"\xff\xfe".as_slice()).unwrap();
    drop(records);
    transaction.commit().unwrap();
    drop(database);
    let found = FileStorage::at(folder.file()).open(&ada()).unwrap();
    assert_eq!(found, [("a".into(), "1".into()), ("b".into(), "\u{fffd}\u{fffd}".into())]);
}

#[test]
fn a_newer_format_of_the_file_is_refused_as_such_and_left_as_it_is() {
    let folder = Folder::new();
    let mut storage = FileStorage::at(folder.file());
    storage.open(&ada()).unwrap();
    drop(storage);
    let mut bytes = fs::read(folder.file()).unwrap();
    // Each of the two commit slots begins with the version of the format.
    for slot in [64, 192] {
        assert_eq!(bytes[slot], 3);
        bytes[slot] = 4;
    }
    fs::write(folder.file(), &bytes).unwrap();
    let refused = FileStorage::at(folder.file()).open(&ada()).unwrap_err();
    assert_eq!(kind(&refused), "from the future", "{refused}");
    assert_eq!(homing_core::Error::from(refused).code, ErrorCode::StorageFromFuture);
    assert!(fs::read(folder.file()).unwrap() == bytes, "the file was changed");
}

#[test]
fn a_path_that_cannot_be_opened_is_told_with_its_reason() {
    let folder = Folder::new();
    for path in [folder.0.clone(), folder.0.join("missing/outbox.redb"), PathBuf::from("/proc/outbox.redb")] {
        let refused = FileStorage::at(&path).open(&ada()).unwrap_err();
        assert_eq!(kind(&refused), "failed", "{refused}");
        assert!(refused.to_string().contains(path.to_str().unwrap()), "{refused}");
    }
}

/// The records in the golden file.
fn golden_records() -> Vec<Record> {
    [
        ("e/p/0000000000000001", r#"{"channel":"chat:a","id":"m1","data":1,"queued":1781000000100}"#),
        ("o/chat:a", r#"{"epoch":"AbC1","offset":9}"#),
        ("p/p", r#"{"session":1781000000123,"since":1781000000000}"#),
        ("v", "1"),
    ]
    .map(|(key, value)| (key.into(), value.into()))
    .into()
}

/// The file as today's client wrote it: its length, and the blocks of 32 bytes that are not zero, each with
/// its place and how often it stands there.
#[test]
fn the_golden_file_is_read_as_it_was_written() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/storage/v1.redb.hex");
    let golden = fs::read_to_string(golden).unwrap();
    let mut lines = golden.lines();
    let mut bytes = vec![0; lines.next().unwrap().parse().unwrap()];
    for line in lines {
        let [offset, count, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let block: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        let (offset, blocks): (usize, _) = (offset.parse().unwrap(), block.repeat(count.parse().unwrap()));
        bytes[offset..offset + blocks.len()].copy_from_slice(&blocks);
    }
    let folder = Folder::new();
    fs::write(folder.file(), bytes).unwrap();
    let mut storage = FileStorage::at(folder.file());
    assert_eq!(storage.open(&ada()).unwrap(), golden_records());
    storage.write(&[put("o/chat:b", "{}")]).unwrap();
}
