//! clawstore-testkit
