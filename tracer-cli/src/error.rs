//! Failures that scripts tell apart by the exit code.

use thiserror::Error;

/// A failure with an exit code of its own; every other error is [`FAILED`].
#[derive(Debug, Error)]
pub enum Failure {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The kernel would refuse what this user asks for.
    #[error("{0}")]
    NotPermitted(String),
    /// This kernel lacks what the tool needs.
    #[error("{0}")]
    Unsupported(String),
    /// Events were lost and `--strict` was given.
    #[error("{0} events were lost (--strict)")]
    Lost(u64),
    /// The rows were not what `--forbid` and `--expect` say.
    #[error("{0}")]
    Expectation(String),
    /// The command after `--` could not be run.
    #[error("{message}")]
    Command { message: String, code: u8 },
}

/// The run failed.
pub const FAILED: u8 = 1;
/// With `-- CMD`: tracer itself failed, as env(1) says it.
pub const FAILED_WITH_COMMAND: u8 = 125;

impl Failure {
    /// The documented exit code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::NotPermitted(_) => 3,
            Self::Unsupported(_) => 4,
            Self::Lost(_) => 5,
            Self::Expectation(_) => 6,
            Self::Command { code, .. } => *code,
        }
    }
}
