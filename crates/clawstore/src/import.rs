//! Taking over what a Clawblox engine has saved.
//!
//! Owns: reading its table page by page, writing what is not there yet, and counting how each row ended. Does not own: the
//! SQL of the source (`clawstore_postgres::clawblox`), which entry a row becomes (`row`), what people are shown.
//!
//! A key that has ever been written here is left alone, also one that was removed since. So an import that was interrupted
//! is resumed by running it again, and one that is repeated after a game went live undoes nothing. The source is only read.
//! What is written goes the way of every call: checked as a script's, durable when it is counted.

mod row;

use std::ops::AddAssign;
use std::sync::Arc;

use clawstore_actors::Process;
use clawstore_core::ops::{Reply, Set};
use clawstore_core::{CallError, Entry, EntryKey, GameId};
use clawstore_postgres::PgConnectOptions;
pub use clawstore_postgres::clawblox::SourceError;
use clawstore_postgres::clawblox::{Source, SourceRow};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::builder::OpenError;
use crate::database::Database;
use crate::import::row::{Found, Reading};
use crate::runtime::{Running, Runtime};
use crate::store::Clawstore;

/// What to import, and from where.
#[derive(Clone)]
pub struct Plan {
    from: PgConnectOptions,
    /// Only these games; all of them if it is empty.
    pub games: Vec<GameId>,
    /// Names of the stores that scripts open with `GetOrderedDataStore`: the source does not tell them from others.
    pub ordered: Vec<String>,
}

/// Without what it connects with: passwords are not logged.
impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("games", &self.games).field("ordered", &self.ordered).finish_non_exhaustive()
    }
}

impl Plan {
    /// All games of a Clawblox engine's database, all stores as standard ones.
    ///
    /// # Errors
    /// If it is not a Postgres database.
    pub fn from(database: Database) -> Result<Self, OpenError> {
        match database {
            Database::Postgres(from) => Ok(Self { from: *from, games: Vec::new(), ordered: Vec::new() }),
            other => {
                let reason = "a Clawblox engine keeps its data in Postgres".to_owned();
                Err(OpenError::Url { url: other.to_string(), reason })
            }
        }
    }
}

/// Why an import ended early. What was written before stays, and running it again goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It could not begin.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The source could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A row could not be written, for no fault of its own.
    #[error("key `{key}` of store `{store}` (game {game}) could not be written: {source}")]
    Write {
        /// The row's game.
        game: GameId,
        /// Its store.
        store: String,
        /// Its key.
        key: String,
        /// Why not, and whether that is sure.
        source: CallError,
    },
}

/// How many rows ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows of the source.
    pub read: u64,
    /// Written and durable; in a check, those that would be written if nothing is there yet.
    pub written: u64,
    /// The key had been written before.
    pub already_there: u64,
    /// JSON null, which is how the source marks what was removed.
    pub removed: u64,
    /// Not legal here.
    pub refused: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.written += other.written;
        self.already_there += other.already_there;
        self.removed += other.removed;
        self.refused += other.refused;
    }
}

/// A row that cannot be stored here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its game, as the source has it.
    pub game: String,
    /// Its store.
    pub store: String,
    /// Its key.
    pub key: String,
    /// Why not, as a script would be told.
    pub reason: String,
}

/// Some rows that have been dealt with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// How they ended.
    pub counts: Counts,
    /// Those that were refused, in the order of game, store and key.
    pub refused: Vec<Refused>,
}

/// An import under way. It goes one page ahead of whoever asks for the next one; dropped, it ends there.
#[derive(Debug)]
pub struct Import {
    rows: u64,
    pages: mpsc::Receiver<Result<Page, ImportError>>,
    /// Of a check, which has no store to run on.
    _runtime: Option<Running>,
}

impl Clawstore {
    /// Begins to import. Blocks until the source is open and its rows are counted.
    ///
    /// # Errors
    /// If the source cannot be read.
    pub fn import(&self, plan: Plan) -> Result<Import, ImportError> {
        let (rows, pages) = start(plan, &self.runtime, Some(Arc::clone(&self.process)))?;
        Ok(Import { rows, pages, _runtime: None })
    }
}

/// Begins to read what [`Clawstore::import`] would write, and writes nothing. Blocks as that does.
///
/// # Errors
/// If the source cannot be read.
pub fn check(plan: Plan) -> Result<Import, ImportError> {
    let runtime = Running::start(Runtime::Own { workers: 1 }).map_err(OpenError::from)?;
    let (rows, pages) = start(plan, &runtime, None)?;
    Ok(Import { rows, pages, _runtime: Some(runtime) })
}

impl Import {
    /// Rows that the source had at the start.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Waits until the next page is dealt with; `None` at the end.
    ///
    /// # Errors
    /// Why it ended early.
    pub async fn next_page(&mut self) -> Option<Result<Page, ImportError>> {
        self.pages.recv().await
    }
}

type Pages = mpsc::Receiver<Result<Page, ImportError>>;

fn start(plan: Plan, runtime: &Running, process: Option<Arc<Process>>) -> Result<(u64, Pages), ImportError> {
    let Plan { from, games, ordered } = plan;
    let opened = runtime.wait_for(async move {
        let mut source = Source::open(&from, &games).await?;
        let rows = source.count().await?;
        Ok::<_, SourceError>((source, rows))
    });
    let (source, rows) = opened??;
    let (done, pages) = mpsc::channel(1);
    runtime.handle().spawn(run(source, Writer { process, reading: Reading::new(ordered) }, done));
    Ok((rows, pages))
}

/// Writes one page while the next one is read.
async fn run(mut source: Source, mut writer: Writer, done: mpsc::Sender<Result<Page, ImportError>>) {
    let mut rows = source.next_page().await;
    loop {
        let read = match rows {
            Ok(read) if read.is_empty() => break,
            Ok(read) => read,
            Err(error) => {
                let _ = done.send(Err(error.into())).await;
                break;
            }
        };
        let (page, next) = tokio::join!(writer.page(read), source.next_page());
        let failed = page.is_err();
        if done.send(page).await.is_err() || failed {
            break;
        }
        rows = next;
    }
    source.close().await;
}

/// How a write ended.
type Written = Result<bool, ImportError>;

struct Writer {
    /// `None`: only a check.
    process: Option<Arc<Process>>,
    reading: Reading,
}

impl Writer {
    /// All writes of a page at once: the store puts them into few transactions.
    async fn page(&mut self, rows: Vec<SourceRow>) -> Result<Page, ImportError> {
        let mut page = Page::default();
        let mut writes = JoinSet::new();
        for row in rows {
            page.counts.read += 1;
            match self.reading.row(row) {
                Found::Removed => page.counts.removed += 1,
                Found::Refused(refused) => {
                    page.counts.refused += 1;
                    page.refused.push(refused);
                }
                Found::Entry { .. } if self.process.is_none() => page.counts.written += 1,
                Found::Entry { key, set } => {
                    if let Some(process) = &self.process {
                        let game = process.game(key.store.game).map_err(OpenError::from)?;
                        writes.spawn(write(game, key, set));
                    }
                }
            }
        }
        finish(writes, page).await
    }
}

/// Writes an entry unless its key has a revision already, if only that of a removal.
async fn write(game: Arc<clawstore_actors::Game>, key: EntryKey, set: Set) -> Written {
    let unless_there = |entry: &Entry| Ok::<_, CallError>((entry.revision == 0).then(|| set.clone()));
    match game.update(&key, unless_there).await {
        Ok(reply) => Ok(reply != Reply::Cancelled),
        Err(source) => {
            let (store, key) = (&key.store, key.key.to_string());
            Err(ImportError::Write { game: store.game, store: store.name.to_string(), key, source })
        }
    }
}

/// Waits for every write, also after one has failed. Of a page with a failure the failure is told and nothing is counted: the
/// next run finds there what was written.
async fn finish(mut writes: JoinSet<Written>, mut page: Page) -> Result<Page, ImportError> {
    let mut failed = None;
    while let Some(ended) = writes.join_next().await {
        match ended.unwrap_or_else(|error| Err(OpenError::Actor(error.to_string()).into())) {
            Ok(true) => page.counts.written += 1,
            Ok(false) => page.counts.already_there += 1,
            Err(error) => failed = Some(failed.unwrap_or(error)),
        }
    }
    failed.map_or(Ok(page), Err)
}
