//! Where the gateways have their files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Resource files, logs, sockets and pins; removed when dropped, unless it is to stay.
pub struct Folder {
    path: PathBuf,
    stays: bool,
}

impl Folder {
    /// The one that is named, which stays, or one for the time of the run.
    pub fn make(named: Option<&Path>) -> Result<Self> {
        let temporary = || std::env::temp_dir().join(format!("bgbench-{}-failover", std::process::id()));
        let path = named.map_or_else(temporary, Path::to_owned);
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        // The daemons are given paths in it, and run elsewhere.
        Ok(Self { path: path.canonicalize()?, stays: named.is_some() })
    }

    /// Has it stay.
    pub fn keep(&mut self) -> &Path {
        self.stays = true;
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.stays {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
