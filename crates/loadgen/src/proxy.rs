//! A proxy in front of Postgres that cuts connections where it hurts.
//!
//! Owns: listening on loopback, one session per connection, and the one cut that is armed. Does not own: what a message is
//! (`frames`), which statements count and where exactly a session is cut (`session`), what is made of it (`chaos`).

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

/// What all sessions share.
#[derive(Debug)]
struct Plan {
    /// The server that requests go to.
    server: SocketAddr,
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
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_io().build()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let (told, done) = channel();
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, server_port));
        let plan = Plan { server, marker: marker.to_owned(), armed: Mutex::new(None), done: told };
        let plan = Arc::new(plan);
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

/// Until it fails (out of file handles, say): whoever waits for a cut then hears that none came.
async fn accept(listener: TcpListener, plan: Arc<Plan>) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        let plan = Arc::clone(&plan);
        tokio::spawn(async move {
            // A server that refuses is seen by the client as a connection that ends: nothing to be done with the error.
            if let Ok(server) = TcpStream::connect(plan.server).await {
                let _ = Session::new(client, server, plan).run().await;
            }
        });
    }
}
