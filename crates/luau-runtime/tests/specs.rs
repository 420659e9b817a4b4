//! Every Luau spec as a test, and what only the driver can see.

// A failed unwrap is how a test fails.
#![allow(clippy::unwrap_used)]

mod driver;
mod harness;
mod host;
mod isolation;
mod tree;
mod tycoon;

/// One test per spec file.
macro_rules! specs {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            crate::harness::run_spec(stringify!($name), include_str!(concat!("luau/", stringify!($name), ".luau")));
        }
    )*};
}

mod luau {
    specs!(
        bindables,
        close,
        datatypes,
        datetime,
        enums,
        errors,
        http_service,
        instances,
        players,
        random,
        services,
        signals,
        task,
        wait_times,
        yields,
    );

    /// Its world is in the other signal mode.
    #[test]
    fn deferred() {
        use crate::harness::{World, check_end};
        let mut world = World::with(|options| options.signal_behavior = clawstore_luau::SignalBehavior::Deferred);
        let script = world.runtime.run_script("deferred", include_str!("luau/deferred.luau")).unwrap();
        check_end(&mut world, "deferred", script);
    }

    /// Needs a second script beside it: what one writes into `_G` the other reads.
    #[test]
    fn environment() {
        use crate::harness::{World, check_end};
        let mut world = World::new();
        let other = "_G.fromOther = 'other script' shared.number = 42 otherGlobal = 1";
        world.runtime.run_script("other", other).unwrap();
        let script = world.runtime.run_script("environment", include_str!("luau/environment.luau")).unwrap();
        check_end(&mut world, "environment", script);
    }
}
