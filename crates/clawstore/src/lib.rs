//! clawstore
