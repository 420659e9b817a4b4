//! One form for states that are equal in all that can still happen, and the number that stands for it.
//!
//! Owns: what is forgotten because it can have no effect any more, the mirror image, the fingerprint. Does not own: steps.
//!
//! Nothing here hides a behaviour: what is forgotten changes no table and is waited for by nobody, and in the mirror image
//! the two servers have changed their names.

use std::cmp::Reverse;
use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

use crate::config::Budget;
use crate::state::{
    INCARNATIONS, Kind, Lane, List, NET_MAX, Op, Place, Request, SERVERS, Server, Stage, State, Tables,
};

impl State {
    /// Forgets what can have no effect, and puts the requests on their way, which have no order, into one.
    pub fn normalize(&mut self) {
        self.forget_void(|kind| kind != Kind::Release);
        // After acquisitions: one of those may have been the last that knew the fence.
        self.forget_void(|kind| kind == Kind::Release);
        self.forget_barriers();
        self.sort();
        for op in self.ops.iter_mut().filter(|op| op.place == Place::Over) {
            op.server = 0;
        }
        (0..INCARNATIONS).for_each(|number| self.forget_lane(number));
    }

    fn forget_void(&mut self, of: fn(Kind) -> bool) {
        for at in 0..NET_MAX {
            if of(self.net[at].kind) && self.is_void(&self.net[at]) {
                self.net[at] = Request::default();
            }
        }
    }

    fn sort(&mut self) {
        self.net.sort_unstable_by_key(|request| Reverse(packed_request(request)));
    }

    /// A request that nobody waits for and that changes nothing, whenever it arrives. What the standby has is never lost.
    fn is_void(&self, request: &Request) -> bool {
        let is_known = |fence| {
            let mut asks = self.net.iter().chain(self.log()).filter(|other| other.kind == Kind::Acquire);
            self.standby.row.fence == fence || asks.any(|other| other.fence == fence)
        };
        !request.live
            && request.stage == Stage::Sent
            && match request.kind {
                Kind::Flush => request.seq <= self.standby.lanes[usize::from(request.incarnation)].seq,
                Kind::Acquire => self.standby.is_dead(request.incarnation),
                Kind::Release => !is_known(request.fence),
                Kind::None | Kind::Replay | Kind::Read | Kind::Death => true,
            }
    }

    /// Barriers that nobody waits for.
    fn forget_barriers(&mut self) {
        let is_barrier = |entry: &Request| matches!(entry.kind, Kind::Replay | Kind::Read) && !entry.live;
        if !self.log().iter().any(is_barrier) {
            return;
        }
        let wal = std::mem::take(&mut self.wal);
        let kept = wal.into_iter().filter(|entry| !is_barrier(entry));
        self.wal.iter_mut().zip(kept).for_each(|(place, entry)| *place = entry);
    }

    /// The lane of an incarnation that is over and of which no batch is on its way is not looked at again.
    fn forget_lane(&mut self, number: usize) {
        let server = number % SERVERS;
        let is_over = self.servers[server].killed || usize::from(self.incarnation(server)) != number;
        let mut requests = self.net.iter().chain(self.log());
        let is_its = |request: &Request| request.kind == Kind::Flush && usize::from(request.incarnation) == number;
        if is_over && !requests.any(is_its) {
            self.standby.lanes[number] = Lane::default();
        }
    }

    /// The same with the servers' names exchanged.
    fn mirrored(&self) -> Self {
        let mut image = *self;
        image.servers.swap(0, 1);
        let mirror = |incarnation: u8| incarnation ^ 1;
        for op in image.ops.iter_mut().filter(|op| matches!(op.place, Place::Queued | Place::InFlight)) {
            op.server ^= 1;
        }
        // Reads are nobody's.
        let has_name = |request: &&mut Request| !matches!(request.kind, Kind::None | Kind::Read);
        for request in image.net.iter_mut().chain(&mut image.wal).filter(has_name) {
            request.incarnation = mirror(request.incarnation);
        }
        let tables = &mut image.standby;
        tables.row.owner = tables.row.owner.checked_sub(1).map_or(0, |owner| mirror(owner) + 1);
        for pair in tables.lanes.chunks_exact_mut(SERVERS) {
            pair.swap(0, 1);
        }
        let (even, odd) = (tables.dead & 0b0101, tables.dead & 0b1010);
        tables.dead = even << 1 | odd >> 1;
        image.sort();
        image
    }

    /// One number for this state and its mirror image.
    pub fn fingerprint(&self) -> u64 {
        self.hashed().min(self.mirrored().hashed())
    }

    fn hashed(&self) -> u64 {
        let mut hasher = FixedState::default().build_hasher();
        for server in &self.servers {
            let Server { killed, generation, seq, lease, fence, durable } = *server;
            hasher.write_u64(packed([u8::from(killed), generation, seq, lease as u8, fence], durable));
        }
        for Op { server, place, answer } in self.ops {
            hasher.write_u64(packed([server, place as u8, answer as u8], List::default()));
        }
        // The end of each is known by its first empty place.
        for requests in [&self.net[..], &self.wal[..]] {
            let words = requests.iter().map(packed_request);
            words.take_while(|&word| word != 0).for_each(|word| hasher.write_u64(word));
            hasher.write_u64(0);
        }
        let Tables { row, lanes, dead } = self.standby;
        hasher.write_u64(packed([row.owner, row.fence, dead], row.list));
        for Lane { list, seq, outcome } in lanes {
            hasher.write_u64(packed([seq, outcome as u8], list));
        }
        hasher.write_u64(packed([self.broken.map_or(0, |broken| broken as u8 + 1)], self.shown));
        hasher.write_u64(packed_budget(&self.left));
        hasher.finish()
    }
}

/// Small numbers, four bits each, and a value in one word: hashed and compared faster than one by one.
fn packed<const N: usize>(numbers: [u8; N], list: List) -> u64 {
    let numbers = numbers.into_iter().fold(0, |word, number| {
        debug_assert!(number < 16, "budgets are small");
        word << 4 | u64::from(number)
    });
    numbers << 16 | u64::from(list.0)
}

fn packed_request(request: &Request) -> u64 {
    let Request { kind, stage, incarnation, live, seq, fence, base, outcome, list } = *request;
    packed([kind as u8, stage as u8, outcome as u8, incarnation, u8::from(live), seq, fence, base], list)
}

fn packed_budget(left: &Budget) -> u64 {
    let Budget { ops, asks, sends, reads, faults, false_deaths, kills, crashes, failovers, cancels, timeouts } = *left;
    let numbers = [ops, asks, sends, reads, faults, false_deaths, kills, crashes, failovers, cancels, timeouts];
    packed(numbers, List::default())
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::step;

    use super::*;

    /// Some states, far enough from the first that every kind of thing is in one of them.
    fn samples() -> Vec<State> {
        let config = Config::full();
        let (mut samples, mut steps) = (vec![State::new(config.budget)], Vec::new());
        for at in 0..10_000 {
            step::next(&config, &samples[at].clone(), &mut steps);
            samples.extend(steps.iter().map(|(_, state)| *state).filter(|_| at % 3 == 0 || at < 400));
        }
        samples
    }

    #[test]
    fn the_mirror_image_of_the_mirror_image_is_the_state() {
        for state in samples() {
            let image = state.mirrored();
            assert_eq!(image.mirrored(), state);
            assert_eq!(image.fingerprint(), state.fingerprint());
        }
    }

    #[test]
    fn a_state_and_its_image_do_the_same() {
        let config = Config::full();
        let next = |state: &State| {
            let mut steps = Vec::new();
            step::next(&config, state, &mut steps);
            let mut prints: Vec<_> = steps.iter().map(|(_, state)| state.fingerprint()).collect();
            prints.sort_unstable();
            prints
        };
        for state in samples().iter().step_by(17) {
            assert_eq!(next(state), next(&state.mirrored()), "{state:?}");
        }
    }

    #[test]
    fn what_has_an_effect_is_not_forgotten() {
        let flush = Request { kind: Kind::Flush, seq: 1, list: List::default().and(0), ..Request::default() };
        let acquire = Request { kind: Kind::Acquire, fence: 2, ..Request::default() };
        let release = Request { kind: Kind::Release, fence: 2, ..Request::default() };
        let mut state = State::default();
        [flush, acquire, release].into_iter().for_each(|request| state.put(request));
        let count = |state: &State| state.net.iter().filter(|request| request.kind != Kind::None).count();
        state.normalize();
        assert_eq!(count(&state), 3);
        state.standby.lanes[0].seq = 1;
        state.normalize();
        assert_eq!(count(&state), 2, "the standby has the batch");
        state.standby.dead = 1;
        state.normalize();
        assert_eq!(count(&state), 0, "the dead acquire nothing, and nobody has the fence that is given back");
    }
}
