//! Leases: which key is whose.
//!
//! Owns: the statements of acquisition and release, and what their rows mean. Does not own: who is alive
//! (`incarnations`), when to ask again (`core`).

use clawstore_core::Entry;
use clawstore_core::backend::{BackendError, BackendErrorKind, Incarnation, LeaseAnswer, LeaseRequest};
use sqlx::postgres::{PgBindIterExt as _, PgConnection};

use crate::columns::{EntryRow, RowKey};
use crate::incarnations::{id, peer};
use crate::link::Call;
use crate::store_ids::{StoreIds, find_or_create_stores, find_stores};

/// Asks for leases. The inner error is of the call, not of the connection.
pub(crate) struct AcquireKeys<'a> {
    pub(crate) stores: &'a StoreIds,
    pub(crate) by: Incarnation,
    pub(crate) requests: &'a [LeaseRequest],
}

impl Call for AcquireKeys<'_> {
    type Answer = Result<Vec<LeaseAnswer>, BackendError>;

    async fn run(&self, session: &mut PgConnection) -> Result<Self::Answer, sqlx::Error> {
        let stores = self.requests.iter().map(|request| &*request.key.store);
        let ids = find_or_create_stores(session, self.stores, stores).await?;
        let rows = ordered(self.requests, &ids);
        let query = sqlx::query_file!(
            "queries/acquire_keys.sql",
            id(self.by),
            rows.iter().map(|(key, _)| key.store).bind_iter() as _,
            rows.iter().map(|(key, _)| key.scope).bind_iter() as _,
            rows.iter().map(|(key, _)| key.key).bind_iter() as _,
            rows.iter().map(|(_, place)| fence(&self.requests[*place])).bind_iter() as _,
        );
        let mut answers = vec![LeaseAnswer::Busy; self.requests.len()];
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
            answers[rows[found].1] = answer(row.granted, row.owner.zip(row.beats), entry)?;
        }
        Ok(if is_alive { Ok(answers) } else { Err(not_alive(self.by)) })
    }
}

fn answer(granted: bool, owner: Option<(i64, i64)>, entry: EntryRow) -> Result<LeaseAnswer, sqlx::Error> {
    Ok(match owner {
        // An entry that was never written has no time of creation either.
        _ if granted && entry.revision == 0 => LeaseAnswer::Granted(Entry::default()),
        _ if granted => LeaseAnswer::Granted(entry.entry()?),
        Some((owner, beats)) => LeaseAnswer::Held(peer(owner, beats)),
        // It was released between two looks of the statement.
        None => LeaseAnswer::Busy,
    })
}

fn not_alive(by: Incarnation) -> BackendError {
    let text = format!("nothing was acquired: incarnation {} is not alive", by.0);
    BackendError::new(BackendErrorKind::Over, text)
}

/// Gives leases back.
pub(crate) struct ReleaseKeys<'a> {
    pub(crate) stores: &'a StoreIds,
    pub(crate) leases: &'a [LeaseRequest],
}

impl Call for ReleaseKeys<'_> {
    type Answer = ();

    async fn run(&self, session: &mut PgConnection) -> Result<(), sqlx::Error> {
        let ids = find_stores(session, self.stores, self.leases.iter().map(|lease| &*lease.key.store)).await?;
        let rows = ordered(self.leases, &ids);
        let query = sqlx::query_file!(
            "queries/release_keys.sql",
            rows.iter().map(|(key, _)| key.store).bind_iter() as _,
            rows.iter().map(|(key, _)| key.scope).bind_iter() as _,
            rows.iter().map(|(key, _)| key.key).bind_iter() as _,
            rows.iter().map(|(_, place)| fence(&self.leases[*place])).bind_iter() as _,
        );
        query.execute(session).await?;
        Ok(())
    }
}

/// A number of 63 bits.
fn fence(lease: &LeaseRequest) -> i64 {
    lease.fence.0 as i64
}

/// The keys of known stores in the order of their rows, each with its place among the requests.
fn ordered<'a>(requests: &'a [LeaseRequest], stores: &[Option<i32>]) -> Vec<(RowKey<'a>, usize)> {
    let numbered = requests.iter().zip(stores).enumerate();
    let mut rows: Vec<_> =
        numbered.filter_map(|(place, (request, store))| Some((RowKey::new((*store)?, &request.key), place))).collect();
    rows.sort_unstable();
    rows
}
