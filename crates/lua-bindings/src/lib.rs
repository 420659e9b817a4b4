//! clawstore-lua
