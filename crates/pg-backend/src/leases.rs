//! Leases: which key is whose.
//!
//! Owns: the statements of acquisition, of release and of the list of locks, and what their rows mean. Does not own: who is alive
//! (`incarnations`), when to ask again (`core`).

use clawstore_core::backend::{
    BackendError, BackendErrorKind, Fence, GiveBack, Holder, Incarnation, LeaseAnswer, LeaseAsk, Lock, LockQuery,
};
use clawstore_core::{Entry, EntryKey};
use sqlx::postgres::{PgBindIterExt as _, PgConnection};

use crate::columns::{EntryRow, RowKey, count, store_id, unreadable};
use crate::incarnations::{id, peer};
use crate::link::Call;
use crate::store_ids::{StoreIds, find_or_create_stores, find_stores};

/// Asks for leases. The inner error is of the call, not of the connection.
pub(crate) struct AcquireKeys<'a> {
    pub(crate) stores: &'a StoreIds,
    pub(crate) by: Incarnation,
    pub(crate) asks: &'a [LeaseAsk],
}

impl Call for AcquireKeys<'_> {
    type Answer = Result<Vec<LeaseAnswer>, BackendError>;

    /// Also what was granted before: that the first answer was lost does not say that its commit was waited for.
    fn shows(&self, answer: &Self::Answer) -> bool {
        let shows = |answer: &LeaseAnswer| matches!(answer, LeaseAnswer::Granted(_) | LeaseAnswer::Shared { .. });
        answer.as_ref().is_ok_and(|answers| answers.iter().any(shows))
    }

    async fn run(&self, session: &mut PgConnection) -> Result<Self::Answer, sqlx::Error> {
        let stores = self.asks.iter().map(|ask| &*ask.key.store);
        let ids = find_or_create_stores(session, self.stores, stores).await?;
        let rows = ordered(self.asks.iter().map(|ask| &ask.key), &ids);
        let instead_of = |place: usize| self.asks[place].instead_of.map(number);
        let query = sqlx::query_file!(
            "queries/acquire_keys.sql",
            id(self.by),
            rows.iter().map(|(key, _)| key.store).bind_iter() as _,
            rows.iter().map(|(key, _)| key.scope).bind_iter() as _,
            rows.iter().map(|(key, _)| key.key).bind_iter() as _,
            rows.iter().map(|(_, place)| number(self.asks[*place].fence)).bind_iter() as _,
            rows.iter().map(|(_, place)| instead_of(*place)).bind_iter() as _,
        );
        let mut answers = vec![LeaseAnswer::Busy; self.asks.len()];
        let mut is_alive = false;
        for row in query.fetch_all(session).await? {
            let (Some(store), Some(scope), Some(key)) = (row.store, &row.scope, &row.key) else {
                is_alive = true;
                continue;
            };
            let Ok(found) = rows.binary_search_by_key(&RowKey { store, scope, key }, |(key, _)| *key) else { continue };
            let entry = EntryRow {
                revision: row.revision.unwrap_or_default(),
                created: row.created.unwrap_or_default(),
                updated: row.updated.unwrap_or_default(),
                user_ids: row.user_ids,
                metadata: row.metadata,
                value: row.value,
            };
            answers[rows[found].1] = answer(&row.state, row.owner.zip(row.beats), row.fence, entry)?;
        }
        Ok(if is_alive { Ok(answers) } else { Err(not_alive(self.by)) })
    }
}

fn answer(
    state: &str,
    owner: Option<(i64, i64)>,
    fence: Option<i64>,
    entry: EntryRow,
) -> Result<LeaseAnswer, sqlx::Error> {
    let fence = fence.map(|number| Fence(number as u64));
    Ok(match (state, owner, fence) {
        ("free" | "mine", ..) => LeaseAnswer::Granted(entry_of(entry)?),
        ("shared", _, Some(fence)) => LeaseAnswer::Shared { entry: entry_of(entry)?, fence },
        ("held", Some((owner, beats)), Some(fence)) => LeaseAnswer::Held { owner: peer(owner, beats), fence },
        // It was released between two looks of the statement.
        _ => LeaseAnswer::Busy,
    })
}

/// An entry that was never written has no time of creation either.
fn entry_of(row: EntryRow) -> Result<Entry, sqlx::Error> {
    if row.revision == 0 { Ok(Entry::default()) } else { row.entry() }
}

fn not_alive(by: Incarnation) -> BackendError {
    let text = format!("nothing was acquired: incarnation {} is not alive", by.0);
    BackendError::new(BackendErrorKind::Over, text)
}

/// Gives leases back.
pub(crate) struct ReleaseKeys<'a> {
    pub(crate) stores: &'a StoreIds,
    pub(crate) leases: &'a [GiveBack],
}

impl Call for ReleaseKeys<'_> {
    type Answer = Vec<Incarnation>;

    async fn run(&self, session: &mut PgConnection) -> Result<Vec<Incarnation>, sqlx::Error> {
        let ids = find_stores(session, self.stores, self.leases.iter().map(|lease| &*lease.key.store)).await?;
        let rows = ordered(self.leases.iter().map(|lease| &lease.key), &ids);
        let share = |place: usize| self.leases[place].share.map(number);
        let query = sqlx::query_file!(
            "queries/release_keys.sql",
            rows.iter().map(|(key, _)| key.store).bind_iter() as _,
            rows.iter().map(|(key, _)| key.scope).bind_iter() as _,
            rows.iter().map(|(key, _)| key.key).bind_iter() as _,
            rows.iter().map(|(_, place)| number(self.leases[*place].fence)).bind_iter() as _,
            rows.iter().map(|(_, place)| share(*place)).bind_iter() as _,
        );
        let askers = query.fetch_all(session).await?;
        Ok(askers.into_iter().map(|row| Incarnation(row.asker as u64)).collect())
    }
}

/// Keys that are held, for operators.
pub(crate) struct ListLocks<'a>(pub(crate) &'a LockQuery);

impl Call for ListLocks<'_> {
    type Answer = Vec<Lock>;

    async fn run(&self, session: &mut PgConnection) -> Result<Vec<Lock>, sqlx::Error> {
        let LockQuery { game, store, prefix, limit } = self.0;
        let (game, store) = (game.to_string(), store.as_deref());
        let query = sqlx::query_file!("queries/list_locks.sql", &game, store, &**prefix, count(*limit));
        let locks = query.fetch_all(session).await?.into_iter().map(|row| {
            let store = store_id(&game, &row.kind, row.name, row.scope)?;
            let holder = match (row.mode, row.owner) {
                (0, Some(owner)) => Holder::Server {
                    // One that ended long ago has been forgotten.
                    name: row.server.unwrap_or_default().into(),
                    incarnation: peer(owner, 0).incarnation,
                    is_alive: row.is_alive.unwrap_or_default(),
                },
                (1, _) => Holder::All,
                (mode, _) => return Err(unreadable(format!("a key held in mode {mode}"))),
            };
            Ok(Lock {
                key: EntryKey { store: store.into(), key: row.key.into() },
                fence: Fence(row.fence as u64),
                holder,
                wanted_by: row.asker.map(Into::into),
            })
        });
        locks.collect()
    }
}

/// A number of 63 bits.
fn number(fence: Fence) -> i64 {
    fence.0 as i64
}

/// The keys of known stores in the order of their rows, each with its place among what was asked.
fn ordered<'a>(keys: impl Iterator<Item = &'a EntryKey>, stores: &[Option<i32>]) -> Vec<(RowKey<'a>, usize)> {
    let numbered = keys.zip(stores).enumerate();
    let mut rows: Vec<_> =
        numbered.filter_map(|(place, (key, store))| Some((RowKey::new((*store)?, key), place))).collect();
    rows.sort_unstable();
    rows
}
