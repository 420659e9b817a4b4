//! Hints: NOTIFY on the channel of each process, and what they are about.
//!
//! Owns: the statements, the names of channels and payloads. Does not own: when a hint is sent or listened to (`core`).

use clawstore_core::EntryKey;
use clawstore_core::backend::{Fence, Hint, Incarnation, LeaseRequest};
use sqlx::postgres::PgConnection;

use crate::columns::store_id;
use crate::incarnations::id;
use crate::link::Call;

const WANTED: &str = "wanted";
const FREED: &str = "freed";

/// As in `queries/send_hints.sql`.
pub(crate) fn channel(of: Incarnation) -> String {
    format!("clawstore-hints-{}", id(of))
}

/// `None`: somebody else's, or of another version.
pub(crate) fn hint_of(payload: &str) -> Option<Hint> {
    match payload {
        WANTED => Some(Hint::Wanted),
        FREED => Some(Hint::Freed),
        _ => None,
    }
}

const fn payload(hint: Hint) -> &'static str {
    match hint {
        Hint::Wanted => WANTED,
        Hint::Freed => FREED,
    }
}

pub(crate) struct SendHints(pub(crate) Vec<(Incarnation, Hint)>);

impl Call for SendHints {
    type Answer = ();

    async fn run(&self, session: &mut PgConnection) -> Result<(), sqlx::Error> {
        let processes: Vec<_> = self.0.iter().map(|(to, _)| id(*to)).collect();
        let hints: Vec<_> = self.0.iter().map(|(_, hint)| payload(*hint).to_owned()).collect();
        sqlx::query_file!("queries/send_hints.sql", &processes, &hints).execute(session).await?;
        Ok(())
    }
}

pub(crate) struct ListWanted(pub(crate) Incarnation);

impl Call for ListWanted {
    type Answer = Vec<LeaseRequest>;

    async fn run(&self, session: &mut PgConnection) -> Result<Vec<LeaseRequest>, sqlx::Error> {
        let rows = sqlx::query_file!("queries/list_wanted.sql", id(self.0)).fetch_all(session).await?;
        let leases = rows.into_iter().map(|row| {
            let store = store_id(&row.game, &row.kind, row.name, row.scope)?;
            let key = EntryKey { store: store.into(), key: row.key.into() };
            Ok(LeaseRequest { key, fence: Fence(row.fence as u64) })
        });
        leases.collect()
    }
}
