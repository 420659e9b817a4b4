//! A database that does not keep the protocol, to see that the harness notices.
//!
//! Owns: the SQL of those mutants that are made there: functions are replaced in the harness's own database. Does not own: mutants of
//! the victims (`mutant`).

use anyhow::{Result, ensure};

use super::super::mutant::Mutant;
use super::super::target::Server;

/// What a row is compared by.
const CHECKS: [&str; 2] = ["entry.fence = wish.fence", "entry.revision = wish.base"];
/// Where the lane remembers what became of each row.
const ROW_OUTCOMES: &str = "SET fenced = fenced_rows, wanted = wanted_rows";

/// Deletes the lanes of whoever is declared dead.
const LANES_GO: &str = "
    CREATE FUNCTION clawstore.test_only_lanes_go() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM clawstore.lane WHERE incarnation = NEW.id;
        RETURN NULL;
    END
    $$;
    CREATE TRIGGER test_only_lanes_go AFTER UPDATE ON clawstore.incarnation
    FOR EACH ROW WHEN (NEW.state = 'dead') EXECUTE FUNCTION clawstore.test_only_lanes_go();
";

/// Replaces what this mutant breaks. Nothing for one that is made elsewhere.
pub(super) fn break_database(mutant: Mutant, server: &Server) -> Result<()> {
    match mutant {
        Mutant::NoChecks => replace_in_commit(server, &CHECKS.map(|check| (check, "true"))),
        Mutant::BatchDoneOnly => replace_in_commit(server, &[(ROW_OUTCOMES, "SET fenced = NULL, wanted = NULL")]),
        Mutant::LanesGoWithTheDead => server.execute(LANES_GO),
        _ => Ok(()),
    }
}

fn replace_in_commit(server: &Server, replacements: &[(&str, &str)]) -> Result<()> {
    let functions = server.commit_functions()?;
    ensure!(!functions.is_empty(), "there is no function that commits batches");
    for function in functions {
        let mut broken = function;
        for (text, by) in replacements {
            ensure!(broken.contains(text), "the function that commits batches does not say {text:?}: mend this mutant");
            broken = broken.replace(text, by);
        }
        server.execute(broken)?;
    }
    Ok(())
}
