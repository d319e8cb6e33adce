//! `bordergate drain`: sends peers to another gateway (RFC 5685).

use crate::api::{Drain, Request, Response};
use crate::cli;
use crate::client;
use crate::control::Control;
use crate::failure::Failure;
use crate::show;

/// Runs `drain`.
///
/// # Errors
/// No gateway answers.
pub fn run(options: &cli::Drain) -> Result<(), Failure> {
    match client::ask(&options.socket, &Request::Drain(Drain { to: options.to }))? {
        Response::Done(told) => show(&told),
        other => Err(client::unexpected(&other)),
    }
}

impl Control {
    /// Begins to send peers elsewhere, or ends it; tells what is done.
    pub(crate) fn drain(&mut self, asked: &Drain) -> String {
        self.with_ike(|endpoint, context| endpoint.drain(asked.to, context));
        match asked.to {
            Some(to) => {
                tracing::info!(%to, "draining: peers that can be redirected are sent to another gateway");
                format!("peers that can be redirected are sent to {to}")
            }
            None => {
                tracing::info!("no longer draining");
                "peers are served here again".to_owned()
            }
        }
    }
}
