//! A proxy in front of Postgres that cuts connections where it hurts, and is a bad line when it is told.
//!
//! Owns: listening on loopback, one session per connection, the one cut that is armed, where the server is, and what the line
//! to it is like. Does not own: what a message is (`frames`), which statements count and where exactly a session is cut
//! (`session`), what is made of it (`chaos`).

mod frames;
mod session;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use session::Session;

/// Where in the life of one commit its connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutPoint {
    /// The request came, and the server hears nothing of it.
    BeforeSend,
    /// The server gets the first half of the request.
    MidSend,
    /// The server has the whole request; no answer is waited for.
    AfterSend,
    /// The server has committed and said so; its answer goes nowhere.
    AfterCommit,
}

impl CutPoint {
    /// In the order of a commit's life.
    pub const ALL: [Self; 4] = [Self::BeforeSend, Self::MidSend, Self::AfterSend, Self::AfterCommit];
}

/// What the way to the server is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Line {
    /// Everything passes at once.
    #[default]
    Good,
    /// Nothing passes, in neither direction, and nobody is told: connections stay as they are, and new ones are taken and not
    /// answered. What was sent meanwhile arrives when the line is good again, even if its sender has given up.
    Silent,
    /// What is sent in one go arrives later by this, in both directions.
    Slow(Duration),
}

/// What sessions must know at every moment.
#[derive(Debug, Clone, Copy)]
struct Route {
    /// The server that requests go to.
    server: SocketAddr,
    line: Line,
    /// How often all connections were cut. A session that began before the last time ends.
    cuts: u64,
}

/// What all sessions share.
#[derive(Debug)]
struct Plan {
    route: watch::Sender<Route>,
    /// Part of the text of every statement that counts as a commit.
    marker: String,
    /// The next commit, whoever makes it, is cut here.
    armed: Mutex<Option<CutPoint>>,
    /// Tells that it was.
    done: Sender<CutPoint>,
}

impl Plan {
    fn arm(&self, point: Option<CutPoint>) {
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = point;
    }

    fn take(&self) -> Option<CutPoint> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A running proxy. Ends, with its connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    plan: Arc<Plan>,
    done: Receiver<CutPoint>,
    /// One thread of its own: a proxy must not stall because its user does.
    runtime: Option<Runtime>,
}

impl Proxy {
    /// Listens on a free port of loopback, in front of the server on `server_port`. A statement whose text contains
    /// `marker` is a commit.
    ///
    /// # Errors
    /// If there is no port or thread to be had.
    pub fn start(server_port: u16, marker: &str) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let (told, done) = channel();
        let (route, _) = watch::channel(Route { server: loopback(server_port), line: Line::Good, cuts: 0 });
        let plan = Arc::new(Plan { route, marker: marker.to_owned(), armed: Mutex::new(None), done: told });
        let sessions = Arc::clone(&plan);
        runtime.spawn(async move { accept(TcpListener::from_std(listener)?, sessions).await });
        Ok(Self { port, plan, done, runtime: Some(runtime) })
    }

    /// Where clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The connection that makes the next commit is cut there.
    pub fn arm(&self, point: CutPoint) {
        self.plan.arm(Some(point));
    }

    /// Makes the line good or bad, for connections of now and of later.
    pub fn set_line(&self, line: Line) {
        self.plan.route.send_modify(|route| route.line = line);
    }

    /// Ends all connections, the clients' by a reset. What the server has not read yet may be lost.
    pub fn cut_all(&self) {
        self.plan.route.send_modify(|route| route.cuts += 1);
    }

    /// Requests go to another server from now on. All connections end.
    pub fn retarget(&self, server_port: u16) {
        let server = loopback(server_port);
        self.plan.route.send_modify(|route| *route = Route { server, cuts: route.cuts + 1, ..*route });
    }

    /// Waits until the connection is cut for which [`Proxy::arm`] was called.
    ///
    /// # Errors
    /// If no commit came within `patience`; then nothing is armed any more.
    pub fn wait_cut(&self, patience: Duration) -> Result<CutPoint> {
        let cut = self.done.recv_timeout(patience);
        self.plan.arm(None);
        cut.with_context(|| format!("no commit was cut within {patience:?}"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Until it fails (out of file handles, say): whoever waits for a cut then hears that none came.
async fn accept(listener: TcpListener, plan: Arc<Plan>) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(pass(client, Arc::clone(&plan)));
    }
}

async fn pass(client: TcpStream, plan: Arc<Plan>) {
    let mut route = plan.route.subscribe();
    // The plan lives as long as this, so its sender does.
    let Ok(server) = route.wait_for(|route| route.line != Line::Silent).await.map(|route| route.server) else { return };
    match TcpStream::connect(server).await {
        // A connection that ends by itself: nothing to be done with the error.
        Ok(server) => drop(Session::new(client, server, plan, route).run().await),
        // The client sees a reset, as if the server itself had refused.
        Err(_) => drop(client.set_zero_linger()),
    }
}
