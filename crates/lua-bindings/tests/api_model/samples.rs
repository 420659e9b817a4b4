//! Values, user ids and metadata: what a script passes and what it is shown of them later.

use std::fmt;

/// A value that a script writes.
pub(crate) struct Sample {
    /// As a script writes it.
    pub(crate) source: &'static str,
    /// As it is read back.
    shown: &'static str,
    /// What an ordered store says to it.
    refusal: &'static str,
}

const fn sample(source: &'static str, shown: &'static str, refusal: &'static str) -> Sample {
    Sample { source, shown, refusal }
}

const DOUBLE: &str = "103: double is not allowed in data stores.";
const ARRAY: &str = "103: Array is not allowed in data stores.";
const DICTIONARY: &str = "103: Dictionary is not allowed in data stores.";
const BEYOND: &str = "502: API Services rejected request with error. HTTP 400 (Bad Request)";

/// Everything that is not a whole number.
pub(crate) static SAMPLES: [Sample; 14] = [
    sample(r#""text""#, r#""text""#, "103: string is not allowed in data stores."),
    sample(r#""""#, r#""""#, "103: string is not allowed in data stores."),
    sample("true", "true", "103: bool is not allowed in data stores."),
    sample("false", "false", "103: bool is not allowed in data stores."),
    sample("0.5", "0.5", DOUBLE),
    sample("0/0", "nan", DOUBLE),
    sample("-math.huge", "-inf", BEYOND),
    sample("{}", "{}", ARRAY),
    sample("{ 1, 2, { 3 } }", "{1=1 2=2 3={1=3}}", ARRAY),
    sample("{ a = 1, b = { c = false } }", r#"{"a"=1 "b"={"c"=false}}"#, DICTIONARY),
    sample("{ [5] = true }", r#"{"5"=true}"#, DICTIONARY),
    sample("{ 1, a = 2 }", "{1=1}", ARRAY),
    sample(r#"{ ["é/\0"] = "日" }"#, "{\"é/\\0\"=\"日\"}", DICTIONARY),
    sample(r#"buffer.fromstring("abc")"#, "buffer(abc)", "103: buffer is not allowed in data stores."),
];

#[derive(Clone, Copy)]
pub(crate) enum Value {
    Integer(i64),
    Other(&'static Sample),
}

impl Value {
    pub(crate) fn source(self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Other(sample) => sample.source.to_owned(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "Luau numbers are doubles")]
    pub(crate) fn shown(self) -> String {
        match self {
            Self::Integer(number) => format!("{:.0}", number as f64),
            Self::Other(sample) => sample.shown.to_owned(),
        }
    }

    pub(crate) fn integer(self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(number),
            Self::Other(_) => None,
        }
    }

    /// Ordered stores take whole numbers alone (spec §3.1).
    pub(crate) fn accepted(self, ordered: bool) -> Result<Self, String> {
        match self {
            Self::Other(sample) if ordered => Err(sample.refusal.to_owned()),
            value => Ok(value),
        }
    }
}

/// An array of user ids, or a table of metadata.
pub(crate) struct Tag {
    pub(crate) source: &'static str,
    pub(crate) shown: &'static str,
    /// Why no store takes it; empty if standard ones do.
    refusal: &'static str,
}

const fn tag(source: &'static str, shown: &'static str, refusal: &'static str) -> Tag {
    Tag { source, shown, refusal }
}

pub(crate) static IDS: [Tag; 7] = [
    tag("nil", "{}", ""),
    tag("{}", "{}", ""),
    tag("{ 7 }", "{1=7}", ""),
    tag("{ 1, 2, 3, 4 }", "{1=1 2=2 3=3 4=4}", ""),
    tag("{ 9007199254740991, -1.5 }", "{1=9007199254740991 2=-1}", ""),
    tag("{ 1, 2, 3, 4, 5 }", "", "512: UserID size exceeds limit of 4"),
    tag(r#"{ "x" }"#, "", "513: Attribute userId format is invalid"),
];

pub(crate) static METADATA: [Tag; 6] = [
    tag("nil", "{}", ""),
    tag("{}", "{}", ""),
    tag("{ a = 1 }", r#"{"a"=1}"#, ""),
    tag(r#"{ t = "é", b = false, n = 0.5 }"#, r#"{"b"=false "n"=0.5 "t"="é"}"#, ""),
    tag(r#"{ a = string.rep("x", 293) }"#, "", "511: Metadata attribute size exceeds 300 bytes limit."),
    tag("{ a = {} }", "", "513: Attribute metadata format is invalid"),
];

#[derive(Clone, Copy)]
pub(crate) struct Attributes {
    pub(crate) ids: &'static Tag,
    pub(crate) metadata: &'static Tag,
}

impl Attributes {
    pub(crate) const NONE: Self = Self { ids: &IDS[0], metadata: &METADATA[0] };

    /// No options object is passed for it.
    pub(crate) fn has_no_options(self) -> bool {
        std::ptr::eq(self.metadata, &raw const METADATA[0])
    }

    /// What a store makes of it. A transform returns a table where other calls take an options object: an empty one is none.
    pub(crate) fn accepted(self, ordered: bool, by_transform: bool) -> Result<(), String> {
        let Self { ids, metadata } = self;
        let has_options = if by_transform { metadata.shown != "{}" } else { !self.has_no_options() };
        let refusal = match () {
            // Nothing of this form can be passed at all.
            () if metadata.refusal.starts_with("513") => metadata.refusal,
            () if ordered && has_options => "517: Additional parameter Options not allowed",
            () if ids.refusal.starts_with("513") => ids.refusal,
            () if ordered && ids.shown != "{}" => "517: Additional parameter UserIds not allowed",
            () => [ids.refusal, metadata.refusal].into_iter().find(|refusal| !refusal.is_empty()).unwrap_or_default(),
        };
        if refusal.is_empty() { Ok(()) } else { Err(refusal.to_owned()) }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source())
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.ids.source, self.metadata.source)
    }
}
