//! Threads that the scheduler itself has parked: timers and the deferred queue.
//!
//! Owns: who waits, until when, in which order. Does not own: resuming (`runtime.rs`), engine calls (the completion
//! hook names those) and signal waiters (the prelude keeps them with their signal).
//!
//! Invariants: an entry leaves this structure exactly once, by `next_due`, `next_deferred` or a withdrawal. A thread
//! parked during a step is not due before the next one. Timers of equal due time wake in the order they were parked.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use foldhash::fast::FixedState;
use mlua::{MultiValue, Thread};

use crate::limits::STALE_TIMERS_KEPT;

/// What a woken thread gets.
#[derive(Debug)]
pub(crate) enum Wake {
    /// A wait that began at this time: the thread gets the wake token and the time that has passed.
    Waited {
        /// When the thread was parked, in seconds since the start.
        since: f64,
    },
    /// A thread of `task.delay` or `task.defer`: it gets its arguments.
    Start(MultiValue),
}

/// A thread that has been taken out and is now to be resumed.
#[derive(Debug)]
pub(crate) struct Woken {
    pub(crate) thread: Thread,
    pub(crate) wake: Wake,
}

#[derive(Debug)]
struct Parked {
    woken: Woken,
    /// The thread's entry before this one: a waiting thread may also be named by `task.delay(1, thread)`.
    older: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Due {
    at: f64,
    id: u64,
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// Reversed, because `BinaryHeap` gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.total_cmp(&self.at).then_with(|| other.id.cmp(&self.id))
    }
}

/// See the module's header.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    last_id: u64,
    parked: HashMap<u64, Parked, FixedState>,
    /// Newest entry per thread. The key is the thread's address: it stays taken while `parked` holds the thread.
    newest: HashMap<usize, u64, FixedState>,
    timers: BinaryHeap<Due>,
    /// Timers since the last `begin_step`: due in the next step at the earliest.
    fresh: Vec<Due>,
    deferred: VecDeque<u64>,
}

impl Scheduler {
    /// Parks a thread until `now + seconds`; the next step at the earliest.
    pub(crate) fn park(&mut self, thread: Thread, now: f64, seconds: f64, wake: Wake) -> u64 {
        // `max` also turns NaN into zero.
        let at = now + seconds.max(0.0);
        let id = self.insert(thread, wake);
        self.fresh.push(Due { at, id });
        id
    }

    /// Puts a thread at the end of the deferred queue.
    pub(crate) fn defer(&mut self, thread: Thread, args: MultiValue) {
        let id = self.insert(thread, Wake::Start(args));
        self.deferred.push_back(id);
    }

    fn insert(&mut self, thread: Thread, wake: Wake) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        let older = self.newest.insert(address(&thread), id);
        self.parked.insert(id, Parked { woken: Woken { thread, wake }, older });
        id
    }

    /// Takes an entry out; `None` if it has left already.
    fn take(&mut self, id: u64) -> Option<Woken> {
        let Parked { woken, older } = self.parked.remove(&id)?;
        let key = address(&woken.thread);
        let newest = self.newest.get(&key).copied();
        if newest != Some(id) {
            self.unlink(newest, id, older);
        } else if let Some(older) = older {
            self.newest.insert(key, older);
        } else {
            self.newest.remove(&key);
        }
        Some(woken)
    }

    /// Closes the gap that entry `id` leaves in its thread's chain.
    fn unlink(&mut self, newest: Option<u64>, id: u64, older: Option<u64>) {
        let mut cursor = newest;
        while let Some(entry) = cursor.and_then(|at| self.parked.get_mut(&at)) {
            if entry.older == Some(id) {
                entry.older = older;
                return;
            }
            cursor = entry.older;
        }
        debug_assert!(false, "entry {id} is not in the chain of its thread");
    }

    /// Withdraws one entry: its thread has been resumed by someone else.
    pub(crate) fn withdraw(&mut self, id: u64) {
        self.take(id);
        self.drop_stale();
    }

    /// Withdraws all entries of a thread.
    pub(crate) fn withdraw_thread(&mut self, thread: &Thread) {
        while let Some(id) = self.newest.get(&address(thread)).copied() {
            self.take(id);
        }
        self.drop_stale();
    }

    fn drop_stale(&mut self) {
        if self.timers.len() + self.fresh.len() + self.deferred.len() > 2 * self.parked.len() + STALE_TIMERS_KEPT {
            let parked = &self.parked;
            self.timers.retain(|due| parked.contains_key(&due.id));
            self.fresh.retain(|due| parked.contains_key(&due.id));
            self.deferred.retain(|id| parked.contains_key(id));
        }
    }

    /// Opens a step: timers parked before it may now come due.
    pub(crate) fn begin_step(&mut self) {
        self.timers.extend(self.fresh.drain(..));
    }

    /// Takes the next timer that is due at `now`.
    pub(crate) fn next_due(&mut self, now: f64) -> Option<Woken> {
        while let Some(due) = self.timers.peek().copied().filter(|due| due.at <= now) {
            self.timers.pop();
            if let Some(woken) = self.take(due.id) {
                return Some(woken);
            }
        }
        None
    }

    /// Takes the next deferred thread.
    pub(crate) fn next_deferred(&mut self) -> Option<Woken> {
        while let Some(id) = self.deferred.pop_front() {
            if let Some(woken) = self.take(id) {
                return Some(woken);
            }
        }
        None
    }

    /// Length of the deferred queue, withdrawn entries included.
    pub(crate) fn deferred_len(&self) -> usize {
        self.deferred.len()
    }

    /// True while a timer or a deferred thread waits.
    pub(crate) fn has_work(&self) -> bool {
        !self.parked.is_empty()
    }

    /// When the next timer is due, as time since the start.
    pub(crate) fn next_timer_due(&mut self) -> Option<Duration> {
        while self.timers.peek().is_some_and(|due| !self.parked.contains_key(&due.id)) {
            self.timers.pop();
        }
        let fresh = self.fresh.iter().filter(|due| self.parked.contains_key(&due.id)).map(|due| due.at);
        let soonest = fresh.chain(self.timers.peek().map(|due| due.at)).min_by(f64::total_cmp)?;
        // `task.wait(math.huge)` is legal and never due.
        Some(Duration::try_from_secs_f64(soonest).unwrap_or(Duration::MAX))
    }
}

/// What tells threads apart, as long as they live.
pub(crate) fn address(thread: &Thread) -> usize {
    thread.state() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlua::Lua;

    fn thread(lua: &Lua) -> Thread {
        let body = lua.create_function(|_, ()| Ok(())).unwrap();
        lua.create_thread(body).unwrap()
    }

    fn wait(scheduler: &mut Scheduler, thread: &Thread, now: f64, seconds: f64) -> u64 {
        scheduler.park(thread.clone(), now, seconds, Wake::Waited { since: now })
    }

    #[test]
    fn timers_wake_in_order_of_due_time_and_then_of_parking() {
        let lua = Lua::new();
        let [a, b, c] = [thread(&lua), thread(&lua), thread(&lua)];
        let mut scheduler = Scheduler::default();
        wait(&mut scheduler, &a, 0.0, 2.0);
        wait(&mut scheduler, &b, 0.0, 1.0);
        wait(&mut scheduler, &c, 0.0, 1.0);
        scheduler.begin_step();
        assert!(scheduler.next_due(0.5).is_none());
        assert_eq!(scheduler.next_timer_due(), Some(Duration::from_secs(1)));
        assert_eq!(scheduler.next_due(2.0).unwrap().thread, b);
        assert_eq!(scheduler.next_due(2.0).unwrap().thread, c);
        assert_eq!(scheduler.next_due(2.0).unwrap().thread, a);
        assert!(!scheduler.has_work());
    }

    #[test]
    fn a_thread_parked_during_a_step_waits_for_the_next() {
        let lua = Lua::new();
        let a = thread(&lua);
        let mut scheduler = Scheduler::default();
        scheduler.begin_step();
        wait(&mut scheduler, &a, 1.0, 0.0);
        assert!(scheduler.next_due(1.0).is_none());
        scheduler.begin_step();
        assert!(scheduler.next_due(1.0).is_some());
    }

    #[test]
    fn withdrawing_one_entry_of_a_thread_leaves_its_others() {
        let lua = Lua::new();
        let a = thread(&lua);
        let mut scheduler = Scheduler::default();
        let first = wait(&mut scheduler, &a, 0.0, 1.0);
        wait(&mut scheduler, &a, 0.0, 2.0);
        wait(&mut scheduler, &a, 0.0, 3.0);
        scheduler.withdraw(first);
        scheduler.begin_step();
        assert_eq!(scheduler.next_timer_due(), Some(Duration::from_secs(2)));
        scheduler.withdraw_thread(&a);
        assert!(!scheduler.has_work());
        assert_eq!(scheduler.next_timer_due(), None);
    }

    #[test]
    fn withdrawn_timers_do_not_pile_up() {
        let lua = Lua::new();
        let a = thread(&lua);
        let mut scheduler = Scheduler::default();
        for _ in 0..10 * STALE_TIMERS_KEPT {
            wait(&mut scheduler, &a, 0.0, 1000.0);
            scheduler.withdraw_thread(&a);
            scheduler.begin_step();
        }
        assert!(scheduler.timers.len() <= STALE_TIMERS_KEPT + 1);
    }

    #[test]
    fn endless_and_senseless_waits_are_accepted() {
        let lua = Lua::new();
        let a = thread(&lua);
        let mut scheduler = Scheduler::default();
        wait(&mut scheduler, &a, 5.0, f64::INFINITY);
        assert_eq!(scheduler.next_timer_due(), Some(Duration::MAX));
        wait(&mut scheduler, &a, 5.0, f64::NAN);
        assert_eq!(scheduler.next_timer_due(), Some(Duration::from_secs(5)));
    }
}
