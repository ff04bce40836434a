//! Limited memory, as a container has it: a control group of this machine's, version 1 or 2.
//!
//! Making one takes rights that few users have: whoever asks has to do with `None`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// A control group. Gone when it is dropped, once nobody is in it.
#[derive(Debug)]
pub struct MemoryLimit {
    folder: PathBuf,
}

/// Where the groups are, and the file with the limit in bytes.
const KINDS: [(&str, &str); 2] = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

// === impl MemoryLimit ===

impl MemoryLimit {
    /// A group called `name` whose members have `bytes` together; `None` where that cannot be had.
    #[must_use]
    pub fn new(name: &str, bytes: u64) -> Option<Self> {
        KINDS.iter().find_map(|(root, limit)| {
            let group = Self { folder: Path::new(root).join(format!("{name}-{}", std::process::id())) };
            fs::create_dir(&group.folder).ok()?;
            // Where the file is not there, memory is not what this group limits.
            let is_there = group.folder.join(limit).exists();
            (is_there && fs::write(group.folder.join(limit), bytes.to_string()).is_ok()).then_some(group)
        })
    }

    /// The file that a process writes its id into to become a member.
    #[must_use]
    pub fn members(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            // A member that was killed may not be gone yet.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
