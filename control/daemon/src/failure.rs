//! How a command fails: one line for a person, and an exit code for a program.

use std::fmt;

/// Why a command ended without having done what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// Something was missing or refused while running: exit code 1.
    Runtime(anyhow::Error),
    /// The host lacks several things: exit code 1. One line each.
    Host(Vec<String>),
    /// The resource file or the command line is wrong: exit code 2. One line each.
    Configuration(Vec<String>),
}

impl Failure {
    /// A runtime failure told in one line.
    pub fn runtime(message: impl fmt::Display) -> Self {
        Self::Runtime(anyhow::anyhow!("{message}"))
    }

    /// A configuration failure told in one line.
    pub fn configuration(message: impl fmt::Display) -> Self {
        Self::Configuration(vec![message.to_string()])
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Runtime(_) | Self::Host(_) => 1,
            Self::Configuration(_) => 2,
        }
    }

    /// What goes to standard error.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Runtime(error) => vec![format!("bordergate: {error:#}")],
            Self::Host(lines) | Self::Configuration(lines) => {
                lines.iter().map(|line| format!("bordergate: {line}")).collect()
            }
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Runtime(error)
    }
}
