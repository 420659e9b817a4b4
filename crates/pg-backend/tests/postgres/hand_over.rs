//! Hand-over as the server sees it: who has lost its connection, what a beat costs, who can share, what is heard.

use clawstore_core::backend::{
    Backend, Beat, Fence, GiveBack, Hint, HoldLeases, Incarnation, LeaseAnswer, LeaseAsk, PayloadSink, Peer,
};
use clawstore_testkit::postgres::Database;
use tokio::sync::mpsc;

use crate::support::{FENCE, ME, ask, block_on, connect, first, key, open_here, own, run, write_new};

const OTHER: Incarnation = Incarnation(2);

async fn beats_of(leases: &dyn HoldLeases, who: Incarnation) -> Peer {
    let peers = leases.beat(Beat::new(OTHER, vec![who])).await.unwrap().peers;
    peers.into_iter().find(|peer| peer.incarnation == who).unwrap()
}

/// Its sessions end with it, and its lock with them; one that was opened again has the lock again with the next beat.
#[test]
fn a_process_without_its_connection_dies_fast() {
    let database = Database::create();
    block_on(async {
        let (backend, watching) = (open_here(&database).await, open_here(&database).await);
        let (me, watcher) = (backend.leases().unwrap(), watching.leases().unwrap());
        me.join(ME).await.unwrap();
        watcher.join(OTHER).await.unwrap();
        let mut other = connect(&database).await;
        run(&mut other, "INSERT INTO clawstore.incarnation (id, server) VALUES (3, 'of the release before')").await;
        let before = Peer { incarnation: Incarnation(3), beats: 0 };
        assert_eq!(watcher.declare_dead(OTHER, vec![before], true).await, Ok(Vec::new()), "it knows no lock");
        let seen = beats_of(watcher, ME).await;
        assert_eq!(watcher.declare_dead(OTHER, vec![seen], true).await, Ok(Vec::new()), "it is there");
        backend.close().await;
        assert!(me.beat(Beat::new(ME, Vec::new())).await.unwrap().alive, "over another session");
        let seen = beats_of(watcher, ME).await;
        assert_eq!(watcher.declare_dead(OTHER, vec![seen], true).await, Ok(Vec::new()), "it is there again");
        backend.close().await;
        let moved = Peer { beats: seen.beats + 1, ..seen };
        assert_eq!(watcher.declare_dead(OTHER, vec![moved], true).await, Ok(Vec::new()), "not as it was seen");
        // The server ends the session a moment later than the client.
        while watcher.declare_dead(OTHER, vec![seen], true).await.unwrap() != [ME] {}
        assert!(!me.beat(Beat::new(ME, Vec::new())).await.unwrap().alive);
    });
}

/// One statement, and it looks at what is wanted only.
#[test]
fn a_beat_with_100_000_owned_keys_looks_at_few_pages() {
    let database = Database::create();
    block_on(async {
        let (backend, mut other) = (open_here(&database).await, connect(&database).await);
        own(&backend, &[key("k")]).await;
        run(
            &mut other,
            "INSERT INTO clawstore.entry (store, scope, key, revision, owner, fence, value) \
             SELECT store, scope, 'k' || n, 1, owner, n, '1' FROM clawstore.entry, generate_series(1, 100000) AS n; \
             UPDATE clawstore.entry SET wanted = 2, wanted_of = owner WHERE key LIKE 'k9999_'; ANALYZE clawstore.entry",
        )
        .await;
        let beat = include_str!("../../queries/beat.sql");
        let count = (1..).take_while(|n| beat.contains(&format!("${n}"))).count();
        let nulls = vec!["NULL"; count - 1].join(", ");
        let explain = format!(
            "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; PREPARE beat AS {beat}; \
             EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE beat (1, {nulls})"
        );
        let plan: serde_json::Value = serde_json::from_str(&database.psql(&explain).unwrap()).unwrap();
        let pages = plan[0]["Plan"]["Shared Hit Blocks"].as_u64().unwrap()
            + plan[0]["Plan"]["Shared Read Blocks"].as_u64().unwrap();
        assert!(pages < 150, "{pages} pages");
        assert_eq!(backend.leases().unwrap().list_wanted(ME).await.unwrap().len(), 10);
    });
}

/// One of the release before: a shared key would be busy to it for as long as others write it.
#[test]
fn no_key_is_shared_while_a_server_lives_that_cannot() {
    let database = Database::create();
    block_on(async {
        let (backend, mut other) = (open_here(&database).await, connect(&database).await);
        write_new(&backend, &[key("k")], &first("1")).await;
        let leases = backend.leases().unwrap();
        leases.join(OTHER).await.unwrap();
        let share = async |fence| {
            let given = GiveBack { key: key("k"), fence, share: Some(Fence(90)) };
            leases.release(vec![given]).await.unwrap();
            leases.acquire(OTHER, vec![LeaseAsk::new(key("k"), Fence(8))]).await.unwrap().remove(0)
        };
        run(&mut other, "INSERT INTO clawstore.incarnation (id, server) VALUES (3, 'of the release before')").await;
        assert_eq!(share(FENCE).await, LeaseAnswer::Granted(first("1")));
        run(&mut other, "UPDATE clawstore.incarnation SET state = 'left' WHERE id = 3").await;
        assert_eq!(share(Fence(8)).await, LeaseAnswer::Shared { entry: first("1"), fence: Fence(90) });
        assert_eq!(
            ask::<i64>(&mut other, "SELECT fence FROM clawstore.entry WHERE mode = 1 AND owner IS NULL").await,
            90
        );
    });
}

fn messages_to(heard: mpsc::UnboundedSender<String>) -> PayloadSink {
    Box::new(move |payload: &str| {
        let _ = heard.send(payload.to_owned());
    })
}

/// On the one connection that beats use: messages, and the hints for whatever the process is called now.
#[test]
fn hints_and_messages_are_heard_on_one_connection() {
    let database = Database::create();
    block_on(async {
        let (backend, sending) = (open_here(&database).await, open_here(&database).await);
        let (leases, sender) = (backend.leases().unwrap(), sending.leases().unwrap());
        leases.join(ME).await.unwrap();
        let (heard, mut hears) = mpsc::unbounded_channel();
        let hint_to = |of: &'static str| {
            let heard = heard.clone();
            Box::new(move |hint: Hint| {
                let _ = heard.send(format!("{of} {hint:?}"));
            })
        };
        let messages = messages_to(heard.clone());
        let mut first_name = leases.hear_hints(ME, hint_to("first"));
        let mut messages = backend.messages().unwrap().listen(messages);
        let mut expect = async |all: &[&str]| {
            let mut missing: Vec<_> = all.to_vec();
            while !missing.is_empty() {
                // Whoever begins to hear a moment later hears the next ones.
                sender.hint(vec![(ME, Hint::Wanted), (OTHER, Hint::Freed)]).await.unwrap();
                sending.messages().unwrap().publish(vec!["a message".to_owned()]).await.unwrap();
                while let Ok(heard) = hears.try_recv() {
                    missing.retain(|it| *it != heard);
                }
            }
        };
        tokio::select! {
            () = expect(&["first Wanted", "a message"]) => {}
            () = &mut first_name => {}
            () = &mut messages => {}
        }
        // One more, while those hear.
        let mut second_name = leases.hear_hints(OTHER, hint_to("second"));
        tokio::select! {
            () = expect(&["first Wanted", "second Freed", "a message"]) => {}
            () = &mut first_name => {}
            () = &mut messages => {}
            () = &mut second_name => {}
        }
        let beat = leases.beat(Beat::new(ME, Vec::new()));
        // All of them go on: whichever has the connection lets the beat have it.
        let beaten = tokio::select! {
            beaten = beat => beaten,
            () = &mut first_name => unreachable!("for ever"),
            () = &mut messages => unreachable!("for ever"),
            () = &mut second_name => unreachable!("for ever"),
        };
        assert!(beaten.unwrap().alive, "between what is heard");
        drop((first_name, messages, second_name));
        // The next one listens alone, and hears nothing of theirs.
        let alone = leases.hear_hints(OTHER, hint_to("second"));
        let expected = async {
            while hears.try_recv().is_ok() {}
            sender.hint(vec![(ME, Hint::Wanted)]).await.unwrap();
            loop {
                sender.hint(vec![(OTHER, Hint::Freed)]).await.unwrap();
                if let Ok(heard) = hears.try_recv() {
                    break heard;
                }
            }
        };
        let heard = tokio::select! { heard = expected => heard, () = alone => String::new() };
        assert_eq!(heard, "second Freed");
    });
}
