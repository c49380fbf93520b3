//! Files that one process holds at a time.
#![expect(clippy::disallowed_methods, reason = "this file is a part of the door to the file system")]

use super::files::failed;
use crate::diag::Result;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// A lock that is held as long as this lives. The system lets go of it when the process dies, however it dies.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the lock lives as long as the file is open")] File);

/// Takes the lock of a file, which is made if it is not there; `None` when another process holds it.
///
/// # Errors
/// `P0002` when the file cannot be made, or lies where the system knows no locks.
pub fn lock(path: &Path) -> Result<Option<Lock>> {
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed("lock", path, &error)),
    }
}

/// Takes the lock of a file once nobody else holds it.
///
/// # Errors
/// As [`lock`].
pub fn wait(path: &Path) -> Result<Lock> {
    let file = open(path)?;
    file.lock().map_err(|error| failed("lock", path, &error))?;
    Ok(Lock(file))
}

fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).write(true).truncate(false).open(path);
    file.map_err(|error| failed("write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = lock(&path).unwrap().unwrap();
        assert!(lock(&path).unwrap().is_none());
        drop(held);
        drop(wait(&path).unwrap());
        assert!(lock(&path).unwrap().is_some());
        assert!(lock(&folder.path().join("none/lock")).is_err());
    }
}
