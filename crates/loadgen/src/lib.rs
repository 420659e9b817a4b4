//! clawstore-loadgen
