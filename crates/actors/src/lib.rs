//! clawstore-actors
