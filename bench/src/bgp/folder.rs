//! A folder for the time of a round.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What one device is told, and its sockets; removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// An empty one.
    pub fn make(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("bgbench-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Itself.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
