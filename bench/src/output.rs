//! What a bench prints on standard output: a table for people, or a JSON object per figure for programs.

use serde::Serialize;

use crate::environment::Environment;
use crate::median::rounded;

/// A figure.
pub trait Row: Serialize {
    /// What stands above the rows.
    fn heading() -> String;

    /// For people.
    fn row(&self) -> String;

    /// For programs.
    fn json(&self) -> String {
        serde_json::to_string(self).expect("plain numbers and names")
    }
}

/// The output of a run.
pub struct Output {
    json: bool,
}

impl Output {
    /// Begins a table, unless it is to be JSON.
    pub fn begin<R: Row>(json: bool) -> Self {
        if !json {
            println!("{}", R::heading());
        }
        Self { json }
    }

    /// The next figure.
    pub fn print(&self, figure: &impl Row) {
        println!("{}", if self.json { figure.json() } else { figure.row() });
    }

    /// Of JSON, the last object.
    pub fn end(self, bench: &str, environment: &Environment) {
        if self.json {
            environment.print(bench);
        }
    }
}

/// What a packet takes, and what comes of that in a second.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Rates {
    /// Of the time-stamp counter.
    pub cycles_per_packet: f64,
    pub mpps: f64,
    /// Of plaintext.
    pub gbps: f64,
}

impl Rates {
    /// Of packets with `size` bytes of plaintext that take so many cycles.
    pub fn of(cycles: f64, size: usize, cycles_per_nanosecond: f64) -> Self {
        let nanoseconds = cycles / cycles_per_nanosecond;
        Self {
            cycles_per_packet: rounded(cycles),
            mpps: rounded(1e3 / nanoseconds),
            gbps: rounded(size as f64 * 8.0 / nanoseconds),
        }
    }
}
