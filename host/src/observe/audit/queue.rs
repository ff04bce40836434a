//! The audit log's queue: lines end to end in one buffer, which the writer takes whole.
//!
//! A line costs its bytes and a lock held for a copy of them: no allocation of its own, and a wake-up only when
//! the writer has nothing to do.

use std::{
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use super::Unrecorded;

/// Bounded in bytes; what is being written counts.
#[derive(Debug)]
pub(super) struct Queue {
    max_bytes: usize,
    state: Mutex<State>,
    /// Told when the writer has something to do.
    work: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    /// Bytes that the writer has taken and not yet written.
    taken: usize,
    closing: bool,
    reopen: bool,
    /// Whether the writer waits to be told.
    idle: bool,
}

/// What there is for the writer to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Work {
    /// Lines wait, or the output is to be opened anew.
    Some,
    /// The log is being closed, and nothing is left.
    Done,
}

// === impl Queue ===

impl Queue {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, state: Mutex::default(), work: Condvar::new() }
    }

    /// Adds one line, with its line end.
    pub(super) fn push(&self, line: &[u8]) -> Result<(), Unrecorded> {
        self.push_within(self.max_bytes, line)
    }

    /// The same of a line that may be lost, as long as it leaves half of the room to those that may not.
    pub(super) fn push_aside(&self, line: &[u8]) -> Result<(), Unrecorded> {
        self.push_within(self.max_bytes / 2, line)
    }

    fn push_within(&self, most: usize, line: &[u8]) -> Result<(), Unrecorded> {
        let mut state = self.lock();
        if state.closing || state.taken + state.lines.len() + line.len() > most {
            return Err(Unrecorded);
        }
        state.lines.extend_from_slice(line);
        self.tell(state);
        Ok(())
    }

    pub(super) fn reopen(&self) {
        let mut state = self.lock();
        state.reopen = true;
        self.tell(state);
    }

    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        self.tell(state);
    }

    /// Bytes that are not written, as far as that is known: what the output takes of them counts once it has taken all.
    pub(super) fn bytes(&self) -> usize {
        let state = self.lock();
        state.lines.len() + state.taken
    }

    pub(super) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// Waits for something to do.
    pub(super) fn wait(&self) -> Work {
        let mut state = self.lock();
        loop {
            if state.reopen || !state.lines.is_empty() {
                return Work::Some;
            }
            if state.closing {
                return Work::Done;
            }
            state.idle = true;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle = false;
        }
    }

    /// Swaps all lines for `batch`, which is empty, and says whether the output is to be opened anew.
    pub(super) fn take(&self, batch: &mut Vec<u8>) -> bool {
        let mut state = self.lock();
        mem::swap(&mut state.lines, batch);
        state.taken = batch.len();
        mem::take(&mut state.reopen)
    }

    /// Whether the output is to be opened anew; asked while writing fails.
    pub(super) fn take_reopen(&self) -> bool {
        mem::take(&mut self.lock().reopen)
    }

    /// What was taken is written.
    pub(super) fn written(&self) {
        self.lock().taken = 0;
    }

    /// Once each time that it waits: it takes a while to hear of it, and whoever comes meanwhile has nothing to add.
    fn tell(&self, mut state: MutexGuard<'_, State>) {
        let idle = mem::take(&mut state.idle);
        drop(state);
        if idle {
            self.work.notify_one();
        }
    }

    /// Nothing under this lock panics half-way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A wake-up is a system call, and lines come faster than a thread wakes.
    #[test]
    fn a_writer_that_waits_is_told_once() {
        let queue = Queue::new(100);
        queue.lock().idle = true;
        assert_eq!(queue.push(b"a"), Ok(()));
        assert!(!queue.lock().idle, "whoever comes next has nobody to wake");
        thread::scope(|scope| {
            let writer = scope.spawn(|| (queue.wait(), queue.take(&mut Vec::new()), queue.wait()));
            while !queue.lock().idle {
                thread::yield_now();
            }
            queue.close();
            assert_eq!(writer.join().unwrap(), (Work::Some, false, Work::Done));
        });
    }

    #[test]
    fn what_may_be_lost_leaves_half_of_the_room_to_what_may_not() {
        let queue = Queue::new(100);
        assert_eq!(queue.push_aside(&[b'a'; 50]), Ok(()));
        assert_eq!(queue.push_aside(b"a"), Err(Unrecorded));
        assert_eq!(queue.push(&[b'd'; 50]), Ok(()));
        assert_eq!(queue.push(b"d"), Err(Unrecorded));
    }
}
