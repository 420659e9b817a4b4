//! One connection through the proxy.
//!
//! Owns: passing messages on in both directions as the line allows, knowing a commit when it comes, and ending the connection
//! at the armed point of it. Does not own: when a cut is armed, what the line is like (`proxy`).

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::sleep;

use super::frames::{Frames, Opening, two_texts};
use super::{CutPoint, Line, Plan, Route};

/// Which prepared statements of this connection are commits.
#[derive(Debug, Default)]
struct Commits {
    names: HashSet<Vec<u8>>,
}

impl Commits {
    /// Does a commit begin with this message of the client?
    fn begins(&mut self, message: &[u8], marker: &[u8]) -> bool {
        let contains = |text: &[u8]| text.windows(marker.len().max(1)).any(|part| part == marker);
        let (first, second) = two_texts(message);
        match message.first() {
            Some(b'P') => {
                // The unnamed statement, and a name that was closed, are used again for others.
                if contains(second) {
                    self.names.insert(first.to_vec());
                } else {
                    self.names.remove(first);
                }
                false
            }
            Some(b'B') => self.names.contains(second),
            Some(b'Q') => contains(first),
            _ => false,
        }
    }
}

/// A commit that is on its way and will be cut.
#[derive(Debug, Clone, Copy)]
struct Doomed {
    point: CutPoint,
    /// The `ReadyForQuery` of this number ends its answer.
    ready: u64,
}

#[derive(Debug)]
pub(super) struct Session {
    client: Frames<OwnedReadHalf>,
    to_client: BufWriter<OwnedWriteHalf>,
    server: Frames<OwnedReadHalf>,
    to_server: BufWriter<OwnedWriteHalf>,
    plan: Arc<Plan>,
    route: watch::Receiver<Route>,
    /// As many as there were when this began.
    cuts: u64,
    commits: Commits,
    /// Requests for a `ReadyForQuery`; the one after start-up comes unasked.
    asked: u64,
    /// `ReadyForQuery` messages so far.
    ready: u64,
    doomed: Option<Doomed>,
}

/// Go on, or end here because of a cut.
type Step = io::Result<Option<CutPoint>>;

impl Session {
    pub(super) fn new(client: TcpStream, server: TcpStream, plan: Arc<Plan>, route: watch::Receiver<Route>) -> Self {
        // Without this a flush waits for the other side's acknowledgement. A failure only makes it slower.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let cuts = route.borrow().cuts;
        Self {
            client: Frames::untyped(from_client),
            to_client: BufWriter::new(to_client),
            server: Frames::untyped(from_server).typed(),
            to_server: BufWriter::new(to_server),
            plan,
            route,
            cuts,
            commits: Commits::default(),
            asked: 1,
            ready: 0,
            doomed: None,
        }
    }

    /// To the end of the connection, or to its cut.
    pub(super) async fn run(mut self) -> io::Result<()> {
        if !self.open().await? {
            return Ok(());
        }
        self.client = self.client.typed();
        let cut = loop {
            let Route { line, cuts, .. } = *self.route.borrow_and_update();
            if cuts != self.cuts {
                self.end(true);
                return Ok(());
            }
            let step = tokio::select! {
                changed = self.route.changed() => changed.map(|()| None).map_err(io::Error::other)?,
                message = self.client.next(), if line != Line::Silent => match message? {
                    Some(message) => {
                        self.arrive_late(line, self.client.has_next()).await;
                        self.request(&message).await?
                    }
                    None => return self.to_server.flush().await,
                },
                message = self.server.next(), if line != Line::Silent => match message? {
                    Some(message) => {
                        self.arrive_late(line, self.server.has_next()).await;
                        self.answer(&message).await?
                    }
                    None => return self.to_client.flush().await,
                },
            };
            if let Some(cut) = step {
                break cut;
            }
        };
        let plan = Arc::clone(&self.plan);
        self.end(matches!(cut, CutPoint::MidSend | CutPoint::AfterCommit));
        // Whoever armed it may be gone.
        let _ = plan.done.send(cut);
        Ok(())
    }

    /// The last message of those that came in one go waits for all of them.
    async fn arrive_late(&self, line: Line, has_next: bool) {
        if let (Line::Slow(delay), false) = (line, has_next) {
            sleep(delay).await;
        }
    }

    /// Passes the start-up message on. False if the connection is for something else, and that is done.
    async fn open(&mut self) -> io::Result<bool> {
        while let Some(message) = self.client.next().await? {
            let opening = Opening::of(&message);
            if opening == Opening::Encryption {
                self.to_client.write_all(b"N").await?;
                self.to_client.flush().await?;
                continue;
            }
            self.to_server.write_all(&message).await?;
            self.to_server.flush().await?;
            return Ok(opening == Opening::StartUp);
        }
        Ok(false)
    }

    async fn request(&mut self, message: &[u8]) -> Step {
        if self.doomed.is_none()
            && self.commits.begins(message, self.plan.marker.as_bytes())
            && let Some(point) = self.plan.take()
        {
            match point {
                CutPoint::BeforeSend => return Ok(Some(point)),
                CutPoint::MidSend => {
                    self.to_server.write_all(&message[..message.len() / 2]).await?;
                    self.to_server.flush().await?;
                    return Ok(Some(point));
                }
                CutPoint::AfterSend | CutPoint::AfterCommit => {
                    self.doomed = Some(Doomed { point, ready: self.asked + 1 });
                }
            }
        }
        self.to_server.write_all(message).await?;
        let is_sync = matches!(message.first(), Some(b'S' | b'Q'));
        self.asked += u64::from(is_sync);
        if is_sync || !self.client.has_next() {
            self.to_server.flush().await?;
        }
        let sent = self.doomed.filter(|doomed| is_sync && doomed.point == CutPoint::AfterSend);
        Ok(sent.map(|doomed| doomed.point))
    }

    async fn answer(&mut self, message: &[u8]) -> Step {
        // What belongs to statements before the doomed one is still passed on.
        let is_doomed = self.doomed.filter(|doomed| self.ready + 1 >= doomed.ready);
        self.ready += u64::from(message.first() == Some(&b'Z'));
        if let Some(doomed) = is_doomed {
            return Ok((self.ready >= doomed.ready).then_some(doomed.point));
        }
        self.to_client.write_all(message).await?;
        if !self.server.has_next() {
            self.to_client.flush().await?;
        }
        Ok(None)
    }

    /// Both connections end: the client's by a reset or in order; the server's always in order, because a reset could take away
    /// what the server has not read yet.
    fn end(self, by_reset: bool) {
        let Self { client, to_client, .. } = self;
        let to_client = to_client.into_inner();
        if by_reset && to_client.as_ref().set_zero_linger().is_ok() {
            // Without this its drop would end the stream in order first.
            to_client.forget();
        }
        drop(client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, texts: &[&str]) -> Vec<u8> {
        let body: Vec<u8> = texts.iter().flat_map(|text| text.bytes().chain([0])).collect();
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[tag][..], &length, &body].concat()
    }

    #[test]
    fn a_commit_is_known_by_the_text_behind_its_name() {
        let mut commits = Commits::default();
        let mut begins = |tag, texts: &[&str]| commits.begins(&message(tag, texts), b"commit_batch");
        assert!(!begins(b'P', &["s1", "SELECT clawstore.commit_batch($1)"]));
        assert!(!begins(b'P', &["s2", "SELECT 1"]));
        assert!(begins(b'B', &["", "s1"]) && !begins(b'B', &["", "s2"]) && !begins(b'B', &["s1", ""]));
        assert!(!begins(b'P', &["s1", "SELECT 2"]));
        assert!(!begins(b'B', &["", "s1"]), "the name was used again for another statement");
        assert!(begins(b'Q', &["SELECT commit_batch()"]) && !begins(b'Q', &["SELECT 1"]));
    }
}
