//! JSON of `HttpService`.
//!
//! Owns: how much one call may take. Does not own the walks: `encode` goes from Lua to text, `decode` the other way.
//! The prelude raises what they refuse.

mod decode;
mod encode;

pub(crate) use decode::decode;
pub(crate) use encode::encode;

/// Bytes of JSON text that one call makes or takes: sixteen times what a data store holds under one key.
const TEXT_BYTES_MAX: usize = 64 << 20;

/// Values in one text. The largest value of a data store has half as many.
const VALUES_MAX: usize = 4_194_304;

/// Tables inside tables; also what `serde_json` reads at most.
const DEPTH_MAX: usize = 127;

/// Bytes of text that cost as much as one step of a script.
const BYTES_PER_STEP: usize = 64;

/// Why there is no result; the text that the script gets.
pub(crate) type Refused = &'static str;

/// What the VM itself says.
const OUT_OF_MEMORY: Refused = "not enough memory";
