//! Messages between servers: in one process, and over a line between two.

use clawstore_core::Outcome;
use clawstore_core::limits::{INBOX_EVENTS_BEFORE_LOSS, Limits};
use clawstore_core::messaging::{Payload, Topic};
use clawstore_testkit::MessageLine;

use super::*;
use crate::inbox::VmEvent;
use crate::server::{Server, ServerIdentity};

fn topic(name: &str) -> Topic {
    Topic::new(name.as_bytes()).unwrap()
}

fn say(server: &Server, about: &str, text: &str) {
    server.publish(topic(about), Payload::new(text.to_owned()).unwrap());
}

fn server(game: &Arc<Game>) -> Server {
    game.server(ServerIdentity::default())
}

/// What is in the inbox now: texts of messages, ends of calls.
fn arrived(server: &Server) -> Vec<String> {
    let mut events = Vec::new();
    server.inbox().take(&mut events);
    let text = |event| match event {
        VmEvent::Message { payload, .. } => String::from_utf8(payload.json().to_vec()).unwrap(),
        VmEvent::Done { result: Ok(Reply::Nothing), .. } => "done".to_owned(),
        VmEvent::Done { result, .. } => format!("{result:?}"),
        VmEvent::Rerun { .. } => panic!("no update was made"),
    };
    events.into_iter().map(text).collect()
}

fn subscribe(server: &Server, about: &str) {
    server.subscribe(&topic(about)).unwrap();
    assert_eq!(arrived(server), ["done"]);
}

/// A server with a wake-up that can be waited for.
struct Listener {
    server: Server,
    wake: Arc<tokio::sync::Notify>,
}

impl Listener {
    fn new(game: &Arc<Game>) -> Self {
        let (server, wake) = (server(game), Arc::new(tokio::sync::Notify::new()));
        let waker = Arc::clone(&wake);
        server.inbox().set_wake(move || waker.notify_one());
        Self { server, wake }
    }

    /// The next `n` things that arrive.
    async fn next(&self, n: usize) -> Vec<String> {
        let mut all = arrived(&self.server);
        while all.len() < n {
            soon(self.wake.notified()).await;
            all.extend(arrived(&self.server));
        }
        assert_eq!(all.len(), n, "{all:?}");
        all
    }
}

/// Two processes over a line, each with a game and a listening server.
async fn pair(line: &MessageLine) -> [(World, Listener); 2] {
    let mut worlds = Vec::new();
    for seed in 1..=2 {
        let memory = Arc::new(MemoryBackend::new());
        let gate = Arc::new(GatedBackend::new(Arc::clone(&memory) as _).with_messages(line));
        let clock = Arc::new(ManualClock::new(clawstore_core::clock::Timestamp::from_unix_ms(seed * 1_000)));
        let (backend, entropy) = (Arc::clone(&gate) as Arc<dyn Backend>, Arc::new(SeededEntropy::new(seed)));
        let process = Process::start(backend, Arc::clone(&clock) as _, entropy, Handle::current(), Config::default())
            .await
            .unwrap();
        let game = process.game(GameId::Number(1)).unwrap();
        let world = World { memory, gate, clock, process, game };
        let listener = Listener::new(&world.game);
        worlds.push((world, listener));
    }
    while line.listeners() < 2 {
        tokio::task::yield_now().await;
    }
    worlds.try_into().unwrap_or_else(|_| panic!("two"))
}

#[tokio::test]
async fn subscribers_get_messages_at_once_and_the_publisher_too() {
    let world = World::new().await;
    let (a, b, deaf) = (server(&world.game), server(&world.game), server(&world.game));
    let other = server(&world.process.game(GameId::Number(2)).unwrap());
    subscribe(&a, "t");
    subscribe(&b, "t");
    subscribe(&deaf, "another");
    subscribe(&other, "t");
    for text in ["1", "2", "3"] {
        say(&a, "t", text);
    }
    assert_eq!(arrived(&a), ["1", "done", "2", "done", "3", "done"]);
    assert_eq!(arrived(&b), ["1", "2", "3"]);
    assert_eq!(arrived(&deaf), [""; 0]);
    assert_eq!(arrived(&other), [""; 0], "games hear nothing of each other");
}

#[tokio::test]
async fn a_message_tells_when_it_was_sent() {
    let world = World::new().await;
    let a = server(&world.game);
    subscribe(&a, "t");
    world.clock.advance(Duration::from_secs(5));
    say(&a, "t", "1");
    let mut events = Vec::new();
    a.inbox().take(&mut events);
    let VmEvent::Message { sent, topic, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!((sent.unix_ms(), &**topic), (1_700_000_005_000, "t"));
}

#[tokio::test]
async fn each_server_gets_a_message_once_until_its_last_subscription_ends() {
    let world = World::new().await;
    let (a, b) = (server(&world.game), server(&world.game));
    subscribe(&b, "t");
    subscribe(&b, "t");
    say(&a, "t", "1");
    b.unsubscribe(&topic("t"));
    say(&a, "t", "2");
    b.unsubscribe(&topic("t"));
    b.unsubscribe(&topic("t"));
    say(&a, "t", "3");
    assert_eq!(arrived(&b), ["1", "2"]);
}

#[tokio::test]
async fn a_server_that_goes_leaves_no_subscription() {
    let world = World::new().await;
    let (a, b) = (server(&world.game), server(&world.game));
    subscribe(&b, "t");
    let inbox = Arc::clone(b.inbox());
    drop(b);
    say(&a, "t", "1");
    assert!(!inbox.is_filled());
    assert_eq!(Arc::strong_count(&inbox), 1, "the hub holds it");
    a.close([]);
    a.publish(topic("t"), Payload::new("1").unwrap());
}

#[tokio::test]
async fn a_server_that_does_not_look_loses_messages_and_no_answers() {
    let world = World::new().await;
    let (a, frozen) = (server(&world.game), server(&world.game));
    subscribe(&frozen, "t");
    for _ in 0..INBOX_EVENTS_BEFORE_LOSS + 10 {
        say(&a, "t", "1");
    }
    frozen.subscribe(&topic("u")).unwrap();
    assert_eq!(arrived(&frozen).len(), INBOX_EVENTS_BEFORE_LOSS + 1);
    assert_eq!(arrived(&a).len(), INBOX_EVENTS_BEFORE_LOSS + 10);
}

#[tokio::test]
async fn roblox_rates_hold_where_they_are_asked_for() {
    let world = World::with(Config { limits: Limits::Roblox, ..Config::default() }).await;
    let a = server(&world.game);
    for number in 0..20 {
        subscribe(&a, &format!("t{number}"));
    }
    let error = a.subscribe(&topic("one too many")).unwrap_err();
    assert!(error.text.contains("too many subscriptions"), "{error}");
    a.identity().players.store(1, std::sync::atomic::Ordering::Relaxed);
    subscribe(&a, "now it may");
    // One server: 120 of a topic, 600 of the game.
    (0..200).for_each(|_| say(&a, "t1", "1"));
    let received = |server: &Server| arrived(server).iter().filter(|text| *text == "1").count();
    assert_eq!(received(&a), 120);
    for number in 2..8 {
        (0..120).for_each(|_| say(&a, &format!("t{number}"), "1"));
    }
    let all = arrived(&a);
    assert_eq!(all.iter().filter(|text| *text == "1").count(), 480);
    assert_eq!(all.iter().filter(|text| text.contains("publishes too many")).count(), 200 + 6 * 120 - 840);
    world.clock.advance(Duration::from_secs(62));
    say(&a, "t1", "1");
    assert_eq!(arrived(&a), ["1", "done"]);
}

#[tokio::test]
async fn nothing_is_published_or_subscribed_in_a_game_that_closes() {
    let world = World::new().await;
    let a = server(&world.game);
    world.process.drain(Duration::from_secs(1)).await;
    say(&a, "t", "1");
    let answers = [arrived(&a).concat(), a.subscribe(&topic("t")).unwrap_err().to_string()];
    assert!(answers.iter().all(|text| text.contains("401")), "{answers:?}");
}

#[tokio::test]
async fn messages_reach_the_other_process_in_order_and_once() {
    let line = MessageLine::default();
    line.repeat();
    let [(_a, here), (_b, there)] = pair(&line).await;
    subscribe(&here.server, "t");
    subscribe(&there.server, "t");
    let texts: Vec<_> = (0..500).map(|number| number.to_string()).collect();
    texts.iter().for_each(|text| say(&here.server, "t", text));
    assert_eq!(there.next(500).await, texts);
    say(&there.server, "t", "back");
    let mut heard = here.next(500 + 500 + 1).await;
    heard.retain(|text| text != "done");
    assert_eq!(heard, [texts, vec!["back".to_owned()]].concat(), "its own once, and the other's");
    let lengths = *line.sendings().borrow();
    assert!(lengths < 100, "{lengths} sendings: what waits goes together");
}

/// The publisher hears of the end when the message is on its way, and that it may not be.
#[tokio::test]
async fn a_line_that_is_held_or_fails_holds_nobody_up() {
    let line = MessageLine::default();
    let [(_a, here), (_b, there)] = pair(&line).await;
    subscribe(&here.server, "t");
    subscribe(&there.server, "t");
    line.hold();
    say(&here.server, "t", "1");
    assert_eq!(arrived(&here.server), ["1"], "at once here; the call is open");
    line.fail(1);
    line.release();
    let answer = here.next(1).await.remove(0);
    assert!(answer.contains("other processes") && answer.contains(&format!("{:?}", Outcome::Unknown)), "{answer}");
    line.say("something of a stranger's");
    say(&here.server, "t", "2");
    assert_eq!(there.next(1).await, ["2"]);
}

/// More than may wait: some are lost to other processes, each call has its answer.
#[tokio::test]
async fn a_queue_that_is_full_loses_messages() {
    let line = MessageLine::default();
    let [(_a, here), (_b, there)] = pair(&line).await;
    subscribe(&there.server, "t");
    line.hold();
    let published = 2 * clawstore_core::limits::MESSAGES_QUEUED_MAX;
    (0..published).for_each(|_| say(&here.server, "t", "1"));
    let lost = arrived(&here.server).len();
    assert!(lost > 1_000 && lost < published, "{lost}");
    line.release();
    assert_eq!(here.next(published - lost).await, vec!["done"; published - lost]);
    assert_eq!(there.next(published - lost).await.len(), published - lost);
}

/// A message that was published before the end is sent before the end.
#[tokio::test]
async fn a_drain_waits_for_messages_on_their_way() {
    let line = MessageLine::default();
    let [(a, here), (_b, there)] = pair(&line).await;
    subscribe(&there.server, "t");
    line.hold();
    say(&here.server, "t", "last words");
    let process = Arc::clone(&a.process);
    let drained = Handle::current().spawn(async move { process.drain(Duration::from_secs(10)).await });
    while !a.game.is_closed() {
        tokio::task::yield_now().await;
    }
    line.release();
    assert_eq!(there.next(1).await, ["last words"]);
    drained.await.unwrap();
    assert_eq!(arrived(&here.server), ["done"]);
    while line.listeners() > 1 {
        tokio::task::yield_now().await;
    }
}
