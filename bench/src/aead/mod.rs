//! `aead`: what sealing and opening a packet takes, kernel by kernel, beside the libraries that others use.
//!
//! All implementations work in the same frames, one after the other, round by round: a ratio is taken within a round, and
//! the median of the rounds is reported. Cycles are those of the time-stamp counter. Before it is measured each
//! implementation does the batch once, and its bytes must be those of the portable kernel.
//!
//! From one frame to another, as the gateway does it, whoever can goes from one to another; what an implementation can do
//! in place only it does in the destination's frame, without the copy that its user would need. That is the better deal,
//! and each peer's module says where it gets it.

mod aws_lc;
mod bordergate;
mod case;
mod figure;
mod frames;
mod intel;
mod ring;
mod rounds;
mod rustcrypto;
mod subject;
mod traffic;

use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;

use ::aead::{Kernel, Suite};
use anyhow::{Result, bail, ensure};
use clap::Args;
use ipsec_mb::IpsecMb;

use crate::core;
use crate::environment::Environment;
use crate::operation::Operation;
use crate::output::Output;
use aws_lc::AwsLc;
use bordergate::Bordergate;
use case::Case;
use figure::Figure;
use frames::{Frames, MOST_TEXT};
use intel::Intel;
use ring::Ring;
use subject::Subject;
use traffic::Traffic;

/// How to measure.
#[derive(Args)]
pub struct Arguments {
    /// Print one JSON object per figure instead of a table.
    #[arg(long)]
    json: bool,
    /// Suites, as the figures name them; all without it.
    #[arg(long, value_delimiter = ',', value_parser = suite)]
    suites: Vec<Suite>,
    /// Kernels of Bordergate; all that this processor has without it.
    #[arg(long, value_delimiter = ',')]
    kernels: Vec<Kernel>,
    /// Bytes of plaintext in each packet.
    #[arg(long, value_delimiter = ',', value_parser = size, default_value = "64,128,256,512,1024,1440")]
    sizes: Vec<usize>,
    /// Packets handed over at a time.
    #[arg(long, value_delimiter = ',', value_parser = count, default_value = "1,4,16,64")]
    batches: Vec<usize>,
    /// Directions.
    #[arg(long, value_delimiter = ',', default_value = "seal,open")]
    ops: Vec<Operation>,
    /// Different keys in a batch; more than one are measured in the largest batch only.
    #[arg(long, value_delimiter = ',', value_parser = count, default_value = "1,16")]
    keys: Vec<usize>,
    /// Seal and open where the packet stands, instead of from one frame to another.
    #[arg(long)]
    in_place: bool,
    /// Rounds in which every implementation takes its turn; the median is reported.
    #[arg(long, default_value_t = 31)]
    rounds: usize,
    /// The core to measure on.
    #[arg(long, default_value_t = 1)]
    core: usize,
    /// Peers to leave out.
    #[arg(long, value_delimiter = ',', value_name = "PEER")]
    without: Vec<Peer>,
}

/// Whom Bordergate is measured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Its crates for the suite, under the name of the one crate where it is one.
    RustCrypto,
    Ring,
    AwsLc,
    Intel,
}

/// Those that take part.
pub struct Peers {
    peers: Vec<Peer>,
    intel: Option<RefCell<IpsecMb>>,
}

/// Runs the bench and prints its figures.
pub fn run(arguments: &Arguments) -> Result<()> {
    let environment = Environment::read();
    ensure!(arguments.rounds > 0, "--rounds 0: there is no median of nothing");
    core::stay(arguments.core)?;
    let peers = Peers::load(&arguments.without);
    let kernels = kernels(&arguments.kernels)?;
    let mut frames = Frames::new(arguments.batches.iter().copied().max().unwrap_or(1));
    let output = Output::begin::<Figure>(arguments.json);
    core::wake();
    let mut row = None;
    for case in cases(arguments) {
        if row.replace((case.suite, case.operation)) != Some((case.suite, case.operation)) {
            eprintln!("{} {}: {} rounds", case.suite, case.operation, arguments.rounds);
        }
        let traffic = Traffic::new(&case);
        let subjects = peers.subjects(&kernels, &traffic);
        let measured = rounds::measure(&case, &traffic, &subjects, &mut frames, arguments.rounds)?;
        for figure in Figure::all(&case, &measured, environment.cycles_per_nanosecond()) {
            output.print(&figure);
        }
    }
    output.end("aead", &environment);
    Ok(())
}

/// All rows.
fn cases(arguments: &Arguments) -> Vec<Case> {
    let Arguments { suites, sizes, batches, ops, keys, in_place, .. } = arguments;
    let suites = if suites.is_empty() { &Suite::ALL[..] } else { suites };
    let largest = batches.iter().max();
    let mut cases = Vec::new();
    for &suite in suites {
        for &size in sizes.iter().filter(|size| !size.is_multiple_of(suite.alignment())) {
            eprintln!("{suite}: no packets of {size} bytes, not a multiple of {}", suite.alignment());
        }
        for &operation in ops {
            for &size in sizes.iter().filter(|size| size.is_multiple_of(suite.alignment())) {
                for &batch in batches {
                    let keys = keys.iter().filter(|&&keys| keys == 1 || Some(&batch) == largest);
                    let in_place = *in_place;
                    cases.extend(keys.map(|&keys| Case { suite, operation, size, batch, keys, in_place }));
                }
            }
        }
    }
    cases
}

/// Those asked for, or all that there are.
fn kernels(asked: &[Kernel]) -> Result<Vec<Kernel>> {
    if let Some(kernel) = asked.iter().find(|kernel| !kernel.is_available()) {
        bail!(::aead::KernelError::Unavailable(*kernel));
    }
    Ok(if asked.is_empty() { Kernel::available().collect() } else { asked.to_vec() })
}

pub fn suite(name: &str) -> Result<Suite, String> {
    let named = Suite::ALL.into_iter().find(|suite| suite.name() == name);
    named.ok_or_else(|| format!("no such suite; allowed: {}", Suite::ALL.map(Suite::name).join(", ")))
}

fn size(bytes: &str) -> Result<usize, String> {
    let size = bytes.parse().ok().filter(|size| (1..=MOST_TEXT).contains(size));
    size.ok_or_else(|| format!("allowed: 1 to {MOST_TEXT} bytes, what fits into a frame"))
}

fn count(number: &str) -> Result<usize, String> {
    let count = number.parse().ok().filter(|count| (1..=1024).contains(count));
    count.ok_or_else(|| "allowed: 1 to 1024".to_owned())
}

impl Peers {
    /// All but those `without`; says on standard error who is not there.
    pub fn load(without: &[Peer]) -> Self {
        let mut peers = Peer::ALL.to_vec();
        peers.retain(|peer| !without.contains(peer));
        let intel = peers.contains(&Peer::Intel).then(IpsecMb::load);
        if let Some(Err(error)) = &intel {
            eprintln!("without intel-ipsec-mb: {error}");
        }
        Self { peers, intel: intel.and_then(Result::ok).map(RefCell::new) }
    }

    /// Bordergate's kernels and all peers that have the traffic's suite, their keys expanded.
    pub fn subjects(&self, kernels: &[Kernel], traffic: &Traffic) -> Vec<Box<dyn Subject + '_>> {
        let own = kernels.iter().filter_map(|&kernel| Some(Box::new(Bordergate::new(kernel, traffic)?) as Box<_>));
        let peers = self.peers.iter().filter_map(|peer| {
            Some(match peer {
                Peer::RustCrypto => rustcrypto::subject(traffic),
                Peer::Ring => Box::new(Ring::new(traffic)?),
                Peer::AwsLc => Box::new(AwsLc::new(traffic)),
                Peer::Intel => Box::new(Intel::new(self.intel.as_ref()?, traffic)?) as Box<_>,
            })
        });
        own.chain(peers).collect()
    }
}

impl Peer {
    const ALL: [Peer; 4] = [Self::RustCrypto, Self::Ring, Self::AwsLc, Self::Intel];
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RustCrypto => "rustcrypto",
            Self::Ring => "ring",
            Self::AwsLc => "aws-lc-rs",
            Self::Intel => "intel-ipsec-mb",
        })
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        // The crates that RustCrypto's figures are named after.
        if ["aes-gcm", "chacha20poly1305"].contains(&name) {
            return Ok(Self::RustCrypto);
        }
        let named = Self::ALL.into_iter().find(|peer| peer.to_string() == name);
        named.ok_or_else(|| format!("no such peer; allowed: {}", Self::ALL.map(|peer| peer.to_string()).join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use ::aead::{AesKey, Integrity};
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(line: &[&str]) -> Result<Arguments, clap::Error> {
        Line::try_parse_from(["aead"].iter().chain(line)).map(|line| line.arguments)
    }

    #[test]
    fn sizes_fit_into_a_frame() {
        assert_eq!(parse(&["--sizes", "1,64,1950"]).unwrap().sizes, [1, 64, MOST_TEXT]);
        for wrong in ["0", "1951", "1.5", "64k", ""] {
            let error = parse(&["--sizes", wrong]).err().unwrap().to_string();
            assert!(error.contains("allowed: 1 to 1950 bytes"), "{error}");
        }
    }

    #[test]
    fn names_are_those_of_the_figures() {
        let line = ["--suites", "aes-192-gcm,aes-256-cbc+sha512-256", "--ops", "open", "--without", "ring,aes-gcm"];
        let arguments = parse(&line).unwrap();
        let cbc = Suite::AesCbc(AesKey::Aes256, Integrity::HmacSha512);
        assert_eq!(arguments.suites, [Suite::Aes192Gcm16, cbc]);
        assert_eq!(arguments.ops, [Operation::Open]);
        assert_eq!(arguments.without, [Peer::Ring, Peer::RustCrypto]);
        for (option, allowed) in [("--suites", "aes-128-gcm"), ("--ops", "seal"), ("--without", "aws-lc-rs")] {
            let error = parse(&[option, "des"]).err().unwrap().to_string();
            assert!(error.contains(allowed), "{error}");
        }
    }

    #[test]
    fn all_rows_are_measured_without_options() {
        let rows = cases(&parse(&[]).unwrap());
        // Four batches of one key and the largest of 16.
        assert_eq!(rows.len(), 16 * 2 * 6 * (4 + 1));
        assert!(rows.iter().all(|row| row.keys == 1 || (row.keys, row.batch) == (16, 64)));
    }

    #[test]
    fn a_suite_is_not_measured_with_what_it_cannot_seal() {
        let rows = cases(&parse(&["--sizes", "84", "--batches", "4", "--keys", "1", "--ops", "seal"]).unwrap());
        let suites: Vec<_> = rows.iter().map(|row| row.suite).collect();
        assert_eq!(suites, Suite::ALL[..4]);
    }
}
