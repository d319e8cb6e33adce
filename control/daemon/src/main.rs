//! `bordergate`: an open IPsec border gateway.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "a binary has no public items; what needs words has them")]

mod api;
mod associations;
mod authentication;
mod capture;
mod cli;
mod client;
mod control;
mod cores;
mod crash_secret;
mod dataplane;
mod drain;
mod errors;
mod failure;
mod frame;
mod hosts;
mod icmp_listener;
mod kernel;
mod latency;
mod layout;
mod learnt;
mod negotiation;
mod network_namespace;
mod path_mtu;
mod pcapng;
mod picture;
mod private_file;
mod privilege;
mod probes;
mod rates;
mod recorder;
mod reload;
mod report;
mod resource_file;
mod routing;
mod running_mark;
mod server;
mod table;
mod token_bucket;
mod traffic;
mod tunnel;
mod tunnel_ids;
mod upkeep;
mod volume;
mod wireshark;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::api::{Request, Response};
use crate::cli::{Cli, Command, Latency, Status};
use crate::failure::Failure;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How often `status --watch` shows it again.
const WATCH: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            for line in failure.lines() {
                eprintln!("{line}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(options) => {
            log_to_stderr(&options.log)?;
            if let Some(kernel) = options.aead_kernel {
                aead::Kernel::choose(kernel)
                    .map_err(|error| Failure::configuration(format!("--aead-kernel {kernel}: {error}")))?;
            }
            tracing::info!(kernel = %aead::Kernel::chosen(), "encrypting by");
            control::run(*options)
        }
        Command::Check { file } => check(&file),
        Command::Status(options) => status(&options),
        Command::Latency(options) => latency(&options),
        Command::Capture(options) => recorder::run(&options),
        Command::Tunnel(command) => tunnel::run(&command),
        Command::Bgp(command) => routing::command::run(&command),
        Command::Drain(options) => drain::run(&options),
        Command::Detach { pin_dir } => show(&dataplane::detach(&pin_dir)?),
    }
}

fn check(file: &Path) -> Result<(), Failure> {
    let resources = resource_file::load(file)?;
    for warning in resources.warnings() {
        show(&format!("warning: {warning}"))?;
    }
    show(&format!("{} is valid: {}", file.display(), resource_file::summary(&resources)))
}

fn status(options: &Status) -> Result<(), Failure> {
    if let Some(path) = &options.esp_keys {
        return esp_keys(options, path);
    }
    loop {
        match client::ask(&options.socket, &Request::Status {})? {
            Response::Status(status) if options.json => {
                show(&serde_json::to_string(&status).map_err(Failure::runtime)?)?;
            }
            Response::Status(status) => {
                let clear = if options.watch && io::stdout().is_terminal() { "\x1b[2J\x1b[H" } else { "" };
                show(&format!("{clear}{}", table::render(&status).trim_end()))?;
            }
            other @ (Response::EspKeys(_)
            | Response::Latency(_)
            | Response::Capture(_)
            | Response::Trace(_)
            | Response::Bgp(_)
            | Response::Done(_)
            | Response::Error(_)) => {
                return Err(client::unexpected(&other));
            }
        }
        if !options.watch {
            return Ok(());
        }
        std::thread::sleep(WATCH);
    }
}

fn latency(options: &Latency) -> Result<(), Failure> {
    match client::ask(&options.socket, &Request::Latency {})? {
        Response::Latency(latencies) if options.json => {
            show(&serde_json::to_string(&latencies).map_err(Failure::runtime)?)
        }
        Response::Latency(latencies) => show(table::latencies(&latencies).trim_end()),
        other @ (Response::Status(_)
        | Response::EspKeys(_)
        | Response::Capture(_)
        | Response::Trace(_)
        | Response::Bgp(_)
        | Response::Done(_)
        | Response::Error(_)) => Err(client::unexpected(&other)),
    }
}

fn esp_keys(options: &Status, path: &Path) -> Result<(), Failure> {
    match client::ask(&options.socket, &Request::EspKeys {})? {
        Response::EspKeys(keys) => {
            wireshark::write(path, &keys).with_context(|| format!("cannot write {}", path.display()))?;
            show(&format!(
                "{} keys written to {}: whoever has them reads the captured traffic",
                keys.len(),
                path.display()
            ))
        }
        other @ (Response::Status(_)
        | Response::Latency(_)
        | Response::Capture(_)
        | Response::Trace(_)
        | Response::Bgp(_)
        | Response::Done(_)
        | Response::Error(_)) => Err(client::unexpected(&other)),
    }
}

/// A reader that has gone away, as `head` does, is no failure.
pub(crate) fn show(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => Ok(written.context("writing to standard output")?),
    }
}

fn log_to_stderr(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Failure::configuration(format!("--log {filter}: {error}; such as info or debug")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}
