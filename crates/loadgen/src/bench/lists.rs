//! Pages of a store with a million keys, beside the same pages of one with ten thousand.
//!
//! Owns: which pages are asked for, and that each comes through an index. Does not own: the stores (`filled`), their plans
//! (`plans`).
//!
//! Each store is alone in a database of its own: in one database both would be found through the same index. Looks are made one
//! after the other, through the library and past every cache. The ratio is that of the medians; one page in a hundred takes
//! longer than the figure with `_p99`.

mod filled;
mod plans;

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clawstore_core::backend::{KeyPlace, SortedQuery};
use clawstore_core::limits::{KEYS_PAGE_DEFAULT, SORTED_PAGE_DEFAULT, STORES_PAGE_DEFAULT};
use clawstore_core::listing::{KeyList, StoreList};
use clawstore_core::ops::{Look, Reply};
use clawstore_postgres::{PgBackend, PgConnectOptions, PgSettings};
use clawstore_sqlite::{SqliteBackend, SqliteOptions};
use clawstore_testkit::postgres::{Cluster, Database};
use tokio::runtime::Runtime;

use super::report::{Figure, Goal};
use super::{Bench, Db, at_most, p99_us};
use crate::percentiles::median;
use crate::random::Random;
use crate::vm::LocalResult;
use filled::{Filled, name};

/// Keys of the large store and of the small one; a tenth of them in a quick run.
const KEYS: (usize, usize) = (1_000_000, 10_000);
/// Stores of each game beside the one with all the keys.
const STORES: usize = 1_000;
const WORKERS: usize = 2;
/// What a page may cost in the large store, beside the small one.
const RATIO_MAX: f64 = 2.0;

/// A page that is asked for.
struct Page {
    name: &'static str,
    goal: Option<Goal>,
    /// What it must hold, to be one that was found.
    items: usize,
    look: fn(&Filled, &mut Random) -> Look,
}

/// Every `GetSortedAsync` asks for one more than it shows.
const SORTED: usize = SORTED_PAGE_DEFAULT + 1;

const PAGES: [Page; 9] = [
    Page {
        name: "list_keys",
        goal: at_most(RATIO_MAX),
        items: KEYS_PAGE_DEFAULT,
        look: |filled, _| keys(filled, "", None),
    },
    Page {
        name: "list_keys_live",
        goal: at_most(RATIO_MAX),
        items: KEYS_PAGE_DEFAULT,
        look: |filled, _| match keys(filled, "", None) {
            Look::Keys(list) => Look::Keys(KeyList { exclude_deleted: true, ..list }),
            look => look,
        },
    },
    Page {
        name: "list_keys_middle",
        goal: None,
        items: KEYS_PAGE_DEFAULT,
        look: |filled, random| keys(filled, "", Some(somewhere(filled, random))),
    },
    Page {
        name: "list_keys_prefix",
        goal: None,
        items: KEYS_PAGE_DEFAULT,
        // All digits but the last two: a hundred keys begin with it.
        look: |filled, random| {
            let name = name(somewhere(filled, random));
            keys(filled, &name[..name.len() - 2], None)
        },
    },
    Page {
        name: "sorted_ascending",
        goal: at_most(RATIO_MAX),
        items: SORTED,
        look: |filled, _| sorted(filled, true, None),
    },
    Page {
        name: "sorted_descending",
        goal: at_most(RATIO_MAX),
        items: SORTED,
        look: |filled, _| sorted(filled, false, None),
    },
    Page {
        name: "sorted_middle",
        goal: None,
        items: SORTED,
        look: |filled, random| sorted(filled, true, Some(somewhere(filled, random))),
    },
    Page {
        name: "version_at_time",
        goal: at_most(RATIO_MAX),
        items: 1,
        look: |filled, random| {
            let index = below(random, filled.keys());
            Look::VersionAt(filled.key(index), filled.superseded_at(index))
        },
    },
    Page {
        name: "list_stores",
        goal: None,
        items: STORES_PAGE_DEFAULT,
        look: |filled, _| {
            let game = filled.saves.game;
            Look::Stores(StoreList { game, prefix: "".into(), after: None, size: STORES_PAGE_DEFAULT })
        },
    },
];

fn below(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).unwrap_or(0)
}

/// A key with more than a page behind it.
fn somewhere(filled: &Filled, random: &mut Random) -> usize {
    below(random, filled.keys() * 9 / 10)
}

fn keys(filled: &Filled, prefix: &str, after: Option<usize>) -> Look {
    let place = |index| KeyPlace { scope: filled.saves.scope.as_ref().into(), key: name(index).into() };
    Look::Keys(KeyList {
        store: Arc::clone(&filled.saves),
        all_scopes: false,
        prefix: prefix.into(),
        exclude_deleted: false,
        after: after.map(place),
        size: KEYS_PAGE_DEFAULT,
    })
}

fn sorted(filled: &Filled, ascending: bool, after: Option<usize>) -> Look {
    let store = Arc::clone(&filled.scores);
    // No key is empty: in front of all keys with that number.
    let after = after.map(|number| (i64::try_from(number).unwrap_or(i64::MAX), "".into()));
    Look::Sorted(SortedQuery { store, ascending, min: i64::MIN, max: i64::MAX, after, limit: SORTED })
}

/// How many items an answer shows; a value is one.
fn items(reply: &Reply) -> usize {
    match reply {
        Reply::Keys(page) => page.items.len(),
        Reply::Stores(page) => page.items.len(),
        Reply::Sorted(items) => items.len(),
        // That of the first write: the one that was superseded.
        Reply::Entry(entry) => usize::from(entry.value.is_some() && entry.revision == 1),
        _ => 0,
    }
}

/// One of the two stores, with how long its looks took.
struct Side<'a> {
    runtime: &'a Runtime,
    filled: Filled,
    random: RefCell<Random>,
    took: RefCell<Vec<Duration>>,
}

impl<'a> Side<'a> {
    fn new(runtime: &'a Runtime, filled: Filled) -> Self {
        Self { runtime, filled, random: RefCell::new(Random::new(1, 1)), took: RefCell::default() }
    }

    /// The median of a turn in microseconds.
    fn turn(&self, page: &Page, turn: Duration) -> LocalResult<f64> {
        let (start, mut took) = (Instant::now(), Vec::new());
        while start.elapsed() < turn {
            let look = (page.look)(&self.filled, &mut self.random.borrow_mut());
            let began = Instant::now();
            let reply = self.runtime.block_on(self.filled.game.look(look))?;
            took.push(began.elapsed());
            if items(&reply) != page.items {
                return Err(format!("{}: {} items instead of {}", page.name, items(&reply), page.items).into());
            }
        }
        self.took.borrow_mut().extend_from_slice(&took);
        Ok(median(took.into_iter().map(|took| took.as_secs_f64() * 1e6).collect()))
    }
}

/// Fills both stores and measures every page.
pub(super) fn run(bench: &mut Bench<'_>, dir: &Path) -> LocalResult<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let (large, small) = if bench.options.quick { (KEYS.0 / 10, KEYS.1 / 10) } else { KEYS };
    match bench.options.db {
        Db::Sqlite => {
            let fill = |keys: usize| {
                let dir = dir.join(keys.to_string());
                let backend = SqliteBackend::open(&dir, &SqliteOptions::default())?;
                let filled = Filled::fill(&runtime, Arc::new(backend), keys, STORES)?;
                LocalResult::Ok((Side::new(&runtime, filled), plans::embedded(&dir)?))
            };
            let ((large, plan), (small, _)) = (fill(large)?, fill(small)?);
            measure(bench, "", &plan, &large, &small)
        }
        Db::Postgres => {
            let cluster = Cluster::start()?;
            let databases = [Database::create_on(&cluster), Database::create_on(&cluster)];
            let fill = |keys: usize, database: &Database| {
                let options: PgConnectOptions = database.url().parse()?;
                let backend = runtime.block_on(PgBackend::open(options, PgSettings::default()))?;
                let filled = Filled::fill(&runtime, Arc::new(backend), keys, STORES)?;
                // What autovacuum does when it comes by.
                database.psql("VACUUM (ANALYZE)")?;
                LocalResult::Ok((Side::new(&runtime, filled), plans::postgres(database)?))
            };
            let ((large, plan), (small, _)) = (fill(large, &databases[0])?, fill(small, &databases[1])?);
            measure(bench, "pg_", &plan, &large, &small)
        }
    }
}

fn measure(bench: &mut Bench<'_>, prefix: &str, plan: &str, large: &Side<'_>, small: &Side<'_>) -> LocalResult<()> {
    println!("{plan}");
    for page in PAGES {
        let name = format!("{prefix}{}", page.name);
        if bench.wants(&name) {
            let medians = bench.plan.alternate(|turn| large.turn(&page, turn), |turn| small.turn(&page, turn))?;
            bench.add(Figure::beside(&name, medians, "us", page.goal));
            let p99s = (p99_us(large.took.take())?, p99_us(small.took.take())?);
            bench.add(Figure::beside(&format!("{name}_p99"), p99s, "us", None));
        }
    }
    large.filled.close(large.runtime);
    small.filled.close(small.runtime);
    Ok(())
}
