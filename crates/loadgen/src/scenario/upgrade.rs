//! A migration one step newer, under load.
//!
//! Owns: a process from before it and one from after it, side by side on the same keys, and that no call fails. Does not
//! own: migrations: the one here only adds a column, as a step that old programs must bear does.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::ScenarioOptions;
use super::fleet::Fleet;

const BESIDE: Duration = Duration::from_secs(10);

/// What a newer program's `migrate up` does: the change, and the row that says that it was made.
const NEWER: &str = "
    BEGIN;
    SET LOCAL lock_timeout = '5s';
    ALTER TABLE clawstore.entry ADD COLUMN test_only text;
    INSERT INTO clawstore.migration (version, description, success, checksum, execution_time)
    SELECT max(version) + 1, 'test only', true, '\\x00', 0 FROM clawstore.migration;
    COMMIT;
";

pub(super) fn run(options: &ScenarioOptions) -> Result<()> {
    let beside = options.seconds.map_or(BESIDE, Duration::from_secs);
    let mut fleet = Fleet::start(options.seed, 1)?;
    fleet.let_run(beside / 4)?;
    fleet.server.execute(NEWER)?;
    fleet.let_run(beside / 4)?;
    fleet.join()?;
    fleet.let_run(beside / 2)?;
    let counts = fleet.judge()?;
    ensure!(counts.failed + counts.unknown == 0, "{} calls failed, {} are unknown", counts.failed, counts.unknown);
    Ok(())
}
