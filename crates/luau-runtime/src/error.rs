//! What can go wrong between the driver and the runtime. Errors inside scripts are not here: they go to the output.

/// An error of the runtime itself, for the driver.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The script does not compile; the text names the line.
    #[error("{message}")]
    Load {
        /// The script's name.
        name: String,
        /// The compiler's message; it begins with the name and the line.
        message: String,
    },
    /// The VM refused: out of memory, or a value of another VM was handed in.
    #[error("the Luau VM failed: {0}")]
    Vm(#[from] mlua::Error),
}
