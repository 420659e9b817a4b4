//! For engines that have a DataStoreService already: the same seams, with Clawstore behind them.
//!
//! Owns: one module per engine. Does not own: anything that another host does not need, too (`Bindings`, `Game`).

pub mod clawblox;
