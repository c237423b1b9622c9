//! A storage in one database file, claimed by one client at a time.
//!
//! Owns the file from the first `open` to its drop: redb locks it, so a second process is refused. A scope is a
//! table of its own. Every write is one transaction that is synced to the disk before it counts.

use super::{Storage, StorageError};
use homing_core::{Record, Scope, StorageOp};
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// Pages that stay in memory: an outbox at its limit fits, and it is read once.
const CACHE_BYTES: usize = 1024 * 1024;

/// A storage in a file, which a crash and a loss of power leave whole. One client has it at a time; several
/// users may take turns in one file. It is made where it is missing; its folder is not.
#[derive(Debug)]
pub struct FileStorage {
    path: PathBuf,
    database: Option<Database>,
    /// Name of the open scope's table.
    open: Option<String>,
}

impl FileStorage {
    /// The storage in the file at `path`, which is opened when a client needs it.
    #[must_use]
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_path_buf(), database: None, open: None }
    }

    /// The same over a database that is open already.
    #[cfg(test)]
    pub(super) fn over(path: PathBuf, database: Database) -> Self {
        Self { path, database: Some(database), open: None }
    }

    fn what(&self) -> String {
        format!("the storage file {}", self.path.display())
    }

    fn failed(&self, error: impl Into<redb::Error>) -> StorageError {
        let what = self.what();
        match error.into() {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                StorageError::InUse { what }
            }
            redb::Error::Corrupted(why) if why.contains("file format version") => {
                StorageError::FromFuture { what, why }
            }
            redb::Error::Corrupted(why) => StorageError::Damaged { what, why },
            redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                StorageError::Damaged { what, why: error.to_string() }
            }
            error => StorageError::Failed { what, why: error.to_string() },
        }
    }

    fn claim(&mut self) -> Result<&Database, StorageError> {
        if self.database.is_none() {
            let is_new = !self.path.exists();
            let opened = Database::builder().set_cache_size(CACHE_BYTES).create(&self.path);
            let database = opened.map_err(|error: DatabaseError| self.failed(error))?;
            if is_new {
                self.sync_folder();
            }
            self.database = Some(database);
        }
        self.database.as_ref().ok_or_else(|| self.closed())
    }

    /// A new file is safe when its name is. Where a folder cannot be synced, that is all there is.
    fn sync_folder(&self) {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
            let _ = folder.sync_all();
        }
    }

    fn opened(&self) -> Result<(&Database, &str), StorageError> {
        self.database.as_ref().zip(self.open.as_deref()).ok_or_else(|| self.closed())
    }

    fn closed(&self) -> StorageError {
        StorageError::Failed { what: self.what(), why: "no scope is open".into() }
    }
}

/// Whatever stands in server and user, no two scopes have the same table.
pub(super) fn table_of(scope: &Scope) -> String {
    format!("{}:{}{}", scope.server.len(), scope.server, scope.user)
}

/// Bytes and not text: a record that is no text any more must not make the others unreadable.
pub(super) fn table(name: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}

fn read(database: &Database, name: &str) -> Result<Vec<Record>, redb::Error> {
    let transaction = database.begin_read()?;
    let records = match transaction.open_table(table(name)) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut found = Vec::new();
    for record in records.iter()? {
        let (key, value) = record?;
        found.push((text(key.value()), text(value.value())));
    }
    Ok(found)
}

fn write(database: &Database, name: &str, ops: &[StorageOp]) -> Result<(), redb::Error> {
    // Its durability is `Immediate`: the commit returns when the disk says that it has it.
    let transaction = database.begin_write()?;
    let mut records = transaction.open_table(table(name))?;
    for op in ops {
        match op {
            StorageOp::Put { key, value } => drop(records.insert(key.as_bytes(), value.as_bytes())?),
            StorageOp::Delete { key } => drop(records.remove(key.as_bytes())?),
        }
    }
    drop(records);
    Ok(transaction.commit()?)
}

fn erase(database: &Database, name: &str) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.delete_table(table(name))?;
    Ok(transaction.commit()?)
}

impl Storage for FileStorage {
    fn open(&mut self, scope: &Scope) -> Result<Vec<Record>, StorageError> {
        self.open = None;
        let name = table_of(scope);
        let records = read(self.claim()?, &name);
        let records = records.map_err(|error| self.failed(error))?;
        self.open = Some(name);
        Ok(records)
    }

    fn write(&mut self, ops: &[StorageOp]) -> Result<(), StorageError> {
        let (database, name) = self.opened()?;
        write(database, name, ops).map_err(|error| self.failed(error))
    }

    fn erase(&mut self) -> Result<(), StorageError> {
        let (database, name) = self.opened()?;
        erase(database, name).map_err(|error| self.failed(error))
    }
}
