//! Who is alive.
//!
//! Owns: the statements of joining, beating, dying and leaving. Does not own: when to beat and whom to suspect (`core`).

use std::sync::Arc;

use clawstore_core::EntryKey;
use clawstore_core::backend::{Beat, BeatAnswer, Fence, Incarnation, LeaseRequest, Peer};
use sqlx::postgres::PgConnection;

use crate::columns::store_id;
use crate::link::Call;

/// Incarnations are numbers of 63 bits.
pub(crate) fn id(incarnation: Incarnation) -> i64 {
    incarnation.0 as i64
}

pub(crate) fn peer(id: i64, beats: i64) -> Peer {
    Peer { incarnation: Incarnation(id as u64), beats: beats as u64 }
}

/// A new incarnation. What ended long ago is cleared away by the way.
pub(crate) struct JoinIncarnation<'a> {
    pub(crate) incarnation: Incarnation,
    pub(crate) server: &'a str,
    pub(crate) lanes: u16,
}

impl Call for JoinIncarnation<'_> {
    type Answer = ();

    async fn run(&self, session: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query_file!("queries/remove_ended.sql").execute(&mut *session).await?;
        let (id, lanes) = (id(self.incarnation), i32::from(self.lanes));
        sqlx::query_file!("queries/join_incarnation.sql", id, self.server, lanes).execute(session).await?;
        Ok(())
    }
}

/// The end of an incarnation, in order.
pub(crate) struct LeaveIncarnation(pub(crate) Incarnation);

impl Call for LeaveIncarnation {
    type Answer = ();

    async fn run(&self, session: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query_file!("queries/leave_incarnation.sql", id(self.0)).execute(session).await?;
        Ok(())
    }
}

/// Deaths of those who were seen not moving. Answers who of them is not alive.
pub(crate) struct DeclareDead {
    pub(crate) by: Incarnation,
    pub(crate) seen: Vec<Peer>,
    /// Only of those who have lost their connection too.
    pub(crate) is_fast: bool,
}

impl Call for DeclareDead {
    type Answer = Vec<Incarnation>;

    async fn run(&self, session: &mut PgConnection) -> Result<Vec<Incarnation>, sqlx::Error> {
        let ids: Vec<_> = self.seen.iter().map(|peer| id(peer.incarnation)).collect();
        let beats: Vec<_> = self.seen.iter().map(|peer| peer.beats as i64).collect();
        let query = sqlx::query_file!("queries/declare_dead.sql", id(self.by), &ids, &beats, self.is_fast);
        Ok(query.fetch_all(session).await?.into_iter().map(|row| Incarnation(row.id as u64)).collect())
    }
}

/// What a beat brings back.
pub(crate) struct Beaten {
    pub(crate) answer: BeatAnswer,
    /// A commit waits for a standby, from now on or still.
    pub(crate) waits_for_standby: bool,
}

impl Call for Beat {
    type Answer = Beaten;

    async fn run(&self, session: &mut PgConnection) -> Result<Beaten, sqlx::Error> {
        let watch: Vec<_> = self.watch.iter().map(|incarnation| id(*incarnation)).collect();
        let lanes: Vec<_> = self.lanes.iter().map(|mark| id(mark.lane.incarnation)).collect();
        let numbers: Vec<_> = self.lanes.iter().map(|mark| mark.lane.number as i16).collect();
        let query = sqlx::query_file!("queries/beat.sql", id(self.incarnation), &watch, &lanes, &numbers);
        let row = query.fetch_one(session).await?;
        let mut wanted = Vec::with_capacity(row.keys.len());
        let stores = row.games.iter().zip(&row.kinds).zip(row.names.into_iter().zip(row.scopes));
        for ((((game, kind), (name, scope)), key), fence) in stores.zip(row.keys).zip(row.fences) {
            let key = EntryKey { store: Arc::new(store_id(game, kind, name, scope)?), key: key.into() };
            wanted.push(LeaseRequest { key, fence: Fence(fence as u64) });
        }
        let peers = row.peers.into_iter().zip(row.beats).map(|(id, beats)| peer(id, beats)).collect();
        let lanes = row.lanes.into_iter().map(|seq| seq.map(|seq| seq as u64)).collect();
        let answer = BeatAnswer { alive: row.alive, peers, wanted, timeline: row.timeline as u32, lanes };
        Ok(Beaten { answer, waits_for_standby: row.waits_for_standby })
    }
}
