//! Messages between VMs: of one process, of two on one database, and under the conditions of a simulated run.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "support/host.rs"]
mod host;
#[path = "support/place.rs"]
mod place;

use std::sync::Arc;
use std::time::Duration;

use clawstore_core::CallError;
use clawstore_core::clock::{Clock as _, Timestamp};
use clawstore_lua::{CallControl, CallInfo, Fault, Options, Verdict};
use clawstore_testkit::{ManualClock, MemoryBackend};
use host::{Host, Kind, Store};
use place::Place;

/// Ticks both until `number` of the first is this.
fn tick_until(hosts: [&Host; 2], name: &str, number: f64) {
    for _ in 0..20_000 {
        if hosts[0].number(name) >= number {
            return;
        }
        hosts.iter().for_each(|host| host.tick());
        std::thread::park_timeout(Duration::from_millis(1));
    }
    panic!("`{name}` is {} and not {number}", hosts[0].number(name));
}

const ECHO: &str = r#"
    heard = 0
    local connection = MessagingService:SubscribeAsync("there", function(message)
        heard += 1
        assert(message.Data.n == heard, "out of order or twice")
        MessagingService:PublishAsync("back", message.Data)
    end)
    ready = 1
"#;

/// Each waits for the answer to the last: one that is lost while nobody listens yet is sent again.
const ASK: &str = r#"
    answered, sent = 0, 0
    MessagingService:SubscribeAsync("back", function(message)
        assert(message.Data.n == answered + 1)
        answered = message.Data.n
    end)
    while answered < 20 do
        MessagingService:PublishAsync("there", { n = answered + 1 })
        sent += 1
        local before = answered
        repeat pause() until answered > before or ticks() % 50 == 0
    end
"#;

#[test]
fn servers_of_one_process_hear_each_other() {
    for kind in [Kind::Polling, Kind::Scheduler] {
        let store = Store::open(Arc::new(MemoryBackend::new()));
        let game = store.game(1);
        let (a, b) = (Host::new(&game, kind), Host::new(&game, kind));
        b.start("echo", ECHO);
        while b.global("ready").is_nil() {
            b.tick();
        }
        a.start("ask", ASK);
        tick_until([&a, &b], "answered", 20.0);
        assert_eq!(a.number("sent"), 20.0, "nothing is lost in a process");
    }
}

#[test]
fn servers_of_two_processes_hear_each_other() {
    let place = Place::postgres();
    let (one, other) = (Store::on(&place), Store::on(&place));
    let (a, b) = (Host::new(&one.game(1), Kind::Scheduler), Host::new(&other.game(1), Kind::Scheduler));
    b.start("echo", &ECHO.replace("message.Data.n == heard", "true"));
    a.start("ask", &ASK.replace("assert(message.Data.n == answered + 1)", ""));
    tick_until([&a, &b], "answered", 20.0);
}

/// A VM that goes takes its subscriptions along, and those that wait for their answer.
#[test]
fn a_vm_that_ends_hears_nothing_more() {
    let store = Store::open(Arc::new(MemoryBackend::new()));
    let game = store.game(1);
    let a = Host::new(&game, Kind::Scheduler);
    let b = Host::new(&game, Kind::Scheduler);
    b.start("echo", ECHO);
    let inbox = b.inbox.clone();
    drop(b);
    assert!(inbox.upgrade().is_none(), "somebody holds the inbox of a VM that is gone");
    a.start("publish", r#"MessagingService:PublishAsync("there", { n = 1 }) done = 1"#);
    a.run();
    assert_eq!(a.number("done"), 1.0);
}

/// What the test decides of messages and calls.
struct Conditions(Duration, Option<Fault>, &'static str);

impl CallControl for Conditions {
    fn begin(&self, call: &CallInfo<'_>) -> Verdict {
        let fault = self.1.clone().filter(|_| call.method == "SubscribeAsync");
        Verdict { latency: Duration::ZERO, fault }
    }

    fn deliver(&self, topic: &str) -> Option<Duration> {
        (topic != self.2).then_some(self.0)
    }

    fn settles_calls(&self) -> bool {
        true
    }

    fn wait(&self) {}
}

fn simulated(conditions: Conditions) -> (Store, Arc<ManualClock>, Host) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_ms(1_700_000_000_000)));
    let store = Store::with_clock(Arc::new(MemoryBackend::new()), Arc::clone(&clock) as _);
    let options = Options { control: Some(Box::new(conditions)), ..Options::default() };
    let host = Host::with_options(&store.game(1), Kind::Scheduler, options);
    (store, clock, host)
}

const COLLECT: &str = r#"
    heard, lost = 0, 0
    MessagingService:SubscribeAsync("t", function(message) heard = heard * 10 + message.Data end)
    MessagingService:SubscribeAsync("lossy", function() lost += 1 end)
    MessagingService:PublishAsync("t", 1)
    MessagingService:PublishAsync("lossy", 0)
    MessagingService:PublishAsync("t", 2)
"#;

/// In a simulated run messages take their time, in order, and may be lost.
#[test]
fn messages_of_a_simulated_run_arrive_when_they_are_due() {
    let (_store, clock, host) = simulated(Conditions(Duration::from_millis(1_500), None, "lossy"));
    host.start("collect", COLLECT);
    for _ in 0..10 {
        host.tick();
    }
    assert_eq!(host.number("heard"), 0.0);
    let due = host.bindings.next_due().expect("two messages");
    assert_eq!(due.unix_ms() - clock.wall().unix_ms(), 1_500);
    clock.advance(Duration::from_millis(1_499));
    host.tick();
    assert_eq!(host.number("heard"), 0.0);
    clock.advance(Duration::from_millis(1));
    host.tick();
    assert_eq!((host.number("heard"), host.number("lost")), (12.0, 0.0));
    assert_eq!(host.bindings.next_due(), None);
}

/// The script was told that it has no subscription: it has none.
#[test]
fn a_subscription_whose_answer_is_lost_is_none() {
    let lost = Fault::LoseAnswer(CallError::unavailable("Lost."));
    let (store, _clock, host) = simulated(Conditions(Duration::ZERO, Some(lost), ""));
    let script = r#"
        heard = 0
        local ok = pcall(MessagingService.SubscribeAsync, MessagingService, "t", function() heard += 1 end)
        assert(not ok)
        collectgarbage()
        MessagingService:PublishAsync("t", 1)
    "#;
    host.start("lost", script);
    host.run();
    let other = Host::new(&store.game(1), Kind::Scheduler);
    other.start("publish", r#"MessagingService:PublishAsync("t", 1)"#);
    other.run();
    assert!(!host.inbox.upgrade().unwrap().is_filled() && host.number("heard") == 0.0);
}
