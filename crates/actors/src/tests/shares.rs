//! While permits are short, nobody takes another's share.

use clawstore_core::budget::{Charge, Room};
use clawstore_core::limits::{CALL_OVERHEAD_BYTES, Limits};

use super::*;

/// Increments carry nothing but their overhead.
const CALL: usize = CALL_OVERHEAD_BYTES;

/// Room for so many calls of a game, and of all games; commits are held.
async fn short(game: usize, process: usize, limits: Limits) -> World {
    let config = Config {
        pending_bytes_per_game: game * CALL,
        pending_bytes_per_process: process * CALL,
        limits,
        ..Config::default()
    };
    let world = World::with(config).await;
    world.gate.hold();
    world
}

struct Flood<'a> {
    world: &'a World,
    answers: Vec<oneshot::Receiver<CallResult>>,
}

impl<'a> Flood<'a> {
    fn of(world: &'a World) -> Self {
        Self { world, answers: Vec::new() }
    }

    fn has_room(game: &Game, key: &EntryKey) -> bool {
        let charge = Charge::of(key.store.kind, &increment(1));
        game.room(Some(key), &charge) == Room::Now
    }

    /// Makes a call as a VM's gate does: only if there is room.
    fn call(&mut self, game: &Arc<Game>, key: &EntryKey) -> bool {
        use clawstore_core::clock::Clock;
        use clawstore_core::key_machine::{VmId, Writer};
        if !Self::has_room(game, key) {
            return false;
        }
        let (reply, answer) = oneshot::channel();
        let writer = Writer { vm: VmId(1), op: self.answers.len() as u64 };
        game.submit(key, writer, self.world.clock.wall(), increment(1), ReplyTo::Task(reply));
        self.answers.push(answer);
        true
    }

    /// Calls on a key until there is no room; how often that was.
    fn fill(&mut self, game: &Arc<Game>, key: &EntryKey) -> usize {
        (0..10_000).take_while(|_| self.call(game, key)).count()
    }

    /// Every call that there was room for was admitted and succeeds, and nobody holds anything afterwards.
    async fn all_succeed(self) {
        self.world.gate.release();
        for answer in self.answers {
            number(soon(answer).await.unwrap());
        }
        let until = tokio::time::Instant::now() + SOON;
        let games: Vec<_> = self.world.process.games.lock().open.values().cloned().collect();
        for game in &games {
            assert!(game.none_open_by(until).await);
        }
        for game in &games {
            assert_eq!((game.admission.game.in_use(), held(&game.admission.game)), (0, 0));
            assert_eq!((game.admission.process.in_use(), held(&game.admission.process)), (0, 0));
        }
    }
}

fn held(permits: &crate::admission::Permits) -> usize {
    permits.holders.load(std::sync::atomic::Ordering::Relaxed)
}

fn key_in(game: u64, key: &str) -> EntryKey {
    let store = StoreId::new(GameId::Number(game), StoreKind::Standard, b"Store", b"global").unwrap();
    EntryKey::new(&Arc::new(store), key.as_bytes()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_key_leaves_room_for_other_keys_and_games() {
    let world = short(64, 1_000, Limits::Fair).await;
    let other_game = world.process.game(GameId::Number(2)).unwrap();
    let mut flood = Flood::of(&world);
    assert_eq!(flood.fill(&world.game, &key_of("hot")), 32, "one of two shares");
    assert_eq!(flood.fill(&world.game, &key_of("calm")), 21, "one of three shares");
    assert!(!flood.call(&world.game, &key_of("hot")), "it holds more than its share now");
    assert!(flood.call(&world.game, &key_of("calmer")), "and there is room still");
    assert!(flood.call(&other_game, &key_in(2, "calm")));
    flood.all_succeed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_several_keys_hold_the_same() {
    let world = short(64, 1_000, Limits::Fair).await;
    let keys: Vec<_> = (0..7).map(|index| key_of(&format!("hot{index}"))).collect();
    let mut flood = Flood::of(&world);
    let mut counts = [0; 7];
    for turn in 0..7 * 16 {
        counts[turn % 7] += usize::from(flood.call(&world.game, &keys[turn % 7]));
    }
    assert_eq!(counts, [8; 7], "eight shares of eight calls, one of them for whoever comes next");
    assert_eq!(flood.fill(&world.game, &key_of("calm")), 7, "one of nine");
    flood.all_succeed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_game_leaves_room_for_other_games() {
    let world = short(1_000, 96, Limits::Fair).await;
    let [second, third] = [2, 3].map(|id| world.process.game(GameId::Number(id)).unwrap());
    let mut flood = Flood::of(&world);
    // Many keys with a call each: no key has more than its share.
    let of_first = (0..1_000).take_while(|n| flood.call(&world.game, &key_of(&format!("hot{n}")))).count();
    assert_eq!(of_first, 48, "one of two shares");
    let of_second = (0..1_000).take_while(|n| flood.call(&second, &key_in(2, &format!("hot{n}")))).count();
    assert_eq!(of_second, 32, "one of three shares");
    assert!(!flood.call(&world.game, &key_of("more")), "it holds more than its share now");
    let room = |calls| third.has_share(Some(&key_in(3, "calm")), calls * CALL);
    assert!(room(16) && !room(17), "a game that holds nothing may take all that is left; more waits");
    assert!(flood.call(&third, &key_in(3, "calm")), "and there is room still");
    flood.all_succeed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_larger_than_a_share_is_made_alone() {
    let world = short(64, 1_000, Limits::Fair).await;
    let mut flood = Flood::of(&world);
    for n in 0..32 {
        assert!(flood.call(&world.game, &key_of(&format!("hot{}", n % 4))));
    }
    let room = |key: &str, calls| world.game.has_share(Some(&key_of(key)), calls * CALL);
    assert!(room("hot0", 4) && !room("hot0", 5), "one of five shares is twelve calls, and it holds eight");
    assert!(room("calm", 32), "a key that holds nothing may take all that is left");
    assert!(!room("calm", 33), "more waits");
    assert!(room("calm", 65), "and this will never fit: admission refuses it");
    assert!(!world.game.has_share(None, 33 * CALL), "without a key it waits for permits all the same");
    flood.all_succeed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_shares_without_need_or_without_limits() {
    let world = short(64, 1_000, Limits::Off).await;
    let mut flood = Flood::of(&world);
    assert!((0..64).all(|_| flood.call(&world.game, &key_of("hot"))), "all that there is");
    assert!(Flood::has_room(&world.game, &key_of("hot")), "nothing waits, admission refuses");
    flood.all_succeed().await;
    let world = short(64, 1_000, Limits::Fair).await;
    let mut flood = Flood::of(&world);
    assert!(flood.call(&world.game, &key_of("calm")));
    assert!((0..31).all(|_| flood.call(&world.game, &key_of("hot"))), "while there is plenty");
    flood.all_succeed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_exceeds_its_share_is_refused_and_others_are_not() {
    let world = short(64, 1_000, Limits::Fair).await;
    let mut flood = Flood::of(&world);
    flood.fill(&world.game, &key_of("hot"));
    let refused = world.call("hot", increment(1)).await.expect_err("there is no queue to wait in");
    assert!(refused.text.contains("Too much data is waiting to be saved. (not applied)"), "{refused}");
    let key = key_of("calm");
    let mut calm = std::pin::pin!(world.game.call(&key, increment(1)));
    tokio::select! {
        biased;
        early = &mut calm => panic!("commits are held: {early:?}"),
        () = async {} => {}
    }
    flood.all_succeed().await;
    assert_eq!(number(soon(calm).await), Some(1));
}
