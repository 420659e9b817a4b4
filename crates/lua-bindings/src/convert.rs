//! Luau values to JSON bytes and back.
//!
//! Owns: which Luau value becomes which JSON (spec §4; `decisions.md` 20), straight from and to the VM without a tree in
//! between. Does not own: limits (`core::limits`), keys and attributes (`arguments`).
//!
//! Values that JSON has no form for are tagged objects whose first member is `"m": null`, which no table can make:
//! `{"m":null,"t":"numeric","v":"inf"}` and `{"m":null,"t":"buffer","base64":"…"}`. Buffers that are stored compressed, with
//! `"zbase64"` in place of `"base64"`, are read too.

mod buffers;
mod decode;
mod encode;

pub use decode::decode;
pub(crate) use encode::number_key;
pub use encode::{EncodeError, Encoded, encode};

/// First member of a tagged object; its value is null.
const TAG_MARK: &str = "m";
/// Member that names the type of a tagged object.
const TAG_TYPE: &str = "t";
