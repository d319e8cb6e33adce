//! What happened, in lines to read.

use std::collections::VecDeque;
use std::time::Duration;

/// What becomes of the account of a run. Nothing is put into words unless somebody wants to read it.
#[derive(Debug)]
pub enum Journal {
    /// Nothing is noted.
    Silent,
    /// The last lines are kept, at most so many.
    Kept {
        /// The oldest first.
        lines: VecDeque<String>,
        /// How many are kept.
        most: usize,
    },
    /// Every line is printed.
    Printed,
}

impl Journal {
    /// Keeps the last `most` lines.
    pub fn keeping(most: usize) -> Self {
        Self::Kept { lines: VecDeque::new(), most }
    }

    pub(crate) fn note(&mut self, at: Duration, line: impl FnOnce() -> String) {
        match self {
            Self::Silent => {}
            Self::Kept { lines, most } => {
                if lines.len() >= *most {
                    lines.pop_front();
                }
                lines.push_back(dated(at, &line()));
            }
            Self::Printed => println!("{}", dated(at, &line())),
        }
    }
}

fn dated(at: Duration, line: &str) -> String {
    format!("{:>11.6}  {line}", at.as_secs_f64())
}

/// An IKE message's header in words.
pub(crate) fn describe(payload: &[u8]) -> String {
    if payload == [0xff] {
        return "NAT keepalive".to_owned();
    }
    let Some((&[i0, i1, _, _, _, _, _, _, r0, r1, _, _, _, _, _, _, next, _, exchange, flags, rest @ ..], _)) =
        payload.split_first_chunk::<28>()
    else {
        return format!("{} bytes that are no IKE message", payload.len());
    };
    let [a, b, c, d, ..] = rest;
    let id = u32::from_be_bytes([a, b, c, d]);
    let exchange = match exchange {
        34 => "IKE_SA_INIT",
        35 => "IKE_AUTH",
        36 => "CREATE_CHILD_SA",
        37 => "INFORMATIONAL",
        _ => "another exchange's",
    };
    let kind = if flags & 0x20 == 0 { "request" } else { "response" };
    let from = if flags & 0x08 == 0 { "r" } else { "i" };
    format!(
        "{exchange} {kind} {id}{from} of {i0:02x}{i1:02x}/{r0:02x}{r1:02x}, first payload {next}, {} bytes",
        payload.len()
    )
}
