//! History that is not kept any more.
//!
//! Owns: deleting it in steps, and single versions for good. Does not own: when that is due and what is kept (`core`), whole days
//! of versions (`maintain_versions` in `migrations/`).

use clawstore_core::EntryKey;
use clawstore_core::backend::{BackendError, Sweep};
use clawstore_core::clock::Timestamp;
use clawstore_core::entry::VersionId;
use clawstore_core::limits::HISTORY_DAYS_MAX;
use sqlx::postgres::PgConnection;

use crate::columns::{bound, count, id_columns};
use crate::games::wrong_clock;
use crate::link::Call;
use crate::store_ids::{StoreIds, find_store};

const DAY_TICKS: u64 = 864_000_000_000;

/// The inner error is of the call, not of the connection.
impl Call for Sweep {
    type Answer = Result<usize, BackendError>;

    async fn run(&self, session: &mut PgConnection) -> Result<Self::Answer, sqlx::Error> {
        let games: Vec<_> = self.shorter.iter().map(|cutoff| cutoff.game.to_string()).collect();
        let names: Vec<_> = self.shorter.iter().map(|cutoff| cutoff.store.to_string()).collect();
        let since: Vec<_> = self.shorter.iter().map(|cutoff| bound(cutoff.kept_since)).collect();
        let query = sqlx::query_file!(
            "queries/expire_versions.sql",
            bound(self.kept_since),
            now(self),
            &games,
            &names,
            &since,
            count(self.rows),
            self.is_simulated,
        );
        let row = query.fetch_one(&mut *session).await?;
        if !row.is_right {
            return Ok(Err(wrong_clock("nothing was deleted", "a day")));
        }
        let versions = usize::try_from(row.rows).unwrap_or(usize::MAX);
        let left = count(self.rows.saturating_sub(versions));
        let query = sqlx::query_file!("queries/expire_entries.sql", bound(self.kept_since), left);
        let entries = query.execute(session).await?.rows_affected();
        Ok(Ok(versions.saturating_add(usize::try_from(entries).unwrap_or(usize::MAX))))
    }
}

/// Now, by the clock of the server that sweeps.
fn now(sweep: &Sweep) -> i64 {
    let kept = u64::from(HISTORY_DAYS_MAX) * DAY_TICKS;
    bound(Timestamp::from_ticks(sweep.kept_since.ticks().saturating_add(kept)))
}

/// The end of one kept version.
pub(crate) struct RemoveVersion<'a> {
    pub(crate) stores: &'a StoreIds,
    pub(crate) key: &'a EntryKey,
    pub(crate) id: VersionId,
}

impl Call for RemoveVersion<'_> {
    type Answer = ();

    async fn run(&self, session: &mut PgConnection) -> Result<(), sqlx::Error> {
        let (scope, key) = (&self.key.store.scope, &self.key.key);
        let Some(store) = find_store(session, self.stores, &self.key.store).await? else { return Ok(()) };
        let Some([updated, revision, created]) = id_columns(self.id) else { return Ok(()) };
        let query = sqlx::query_file!("queries/remove_version.sql", store, scope, key, updated, revision, created);
        query.execute(session).await?;
        Ok(())
    }
}
