//! The codec.
use thiserror::Error;
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ParseError {
    #[error("truncated")]
    Truncated,
}
pub(crate) fn notify_name(_: u16) -> &'static str {
    "INTERNAL_ADDRESS_FAILURE"
}
