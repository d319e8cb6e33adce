//! Asking a running gateway.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::api::{Request, Response};
use crate::failure::Failure;

/// How long the gateway may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of the longest answer that is read.
const LONGEST_RESPONSE: u64 = 64 << 20;

/// Asks the gateway that listens on `socket`.
///
/// # Errors
/// Where there is none, or its answer is not understood.
pub fn ask(socket: &Path, request: &Request) -> Result<Response, Failure> {
    converse(socket, request).map(|(response, _)| response)
}

/// As [`ask`], with the connection, on which more may follow.
///
/// # Errors
/// As [`ask`].
pub fn converse(socket: &Path, request: &Request) -> Result<(Response, BufReader<UnixStream>), Failure> {
    let line = serde_json::to_vec(request).map_err(Failure::runtime)?;
    let there = socket.display();
    match exchange(socket, &line) {
        Ok((Response::Error(error), _)) => Err(Failure::runtime(format!("the gateway at {there} answers: {error}"))),
        Ok(answered) => Ok(answered),
        Err(error) => Err(Failure::runtime(match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                format!("no gateway listens on {there}; start one with `bordergate run FILE`, or name its --socket")
            }
            io::ErrorKind::PermissionDenied => format!("{there} is for the user who runs the gateway: try as root"),
            _ => format!("asking the gateway at {there}: {error}"),
        })),
    }
}

/// The failure of an answer to something else.
pub fn unexpected(response: &Response) -> Failure {
    let kind = match response {
        Response::Status(_) => "a status",
        Response::EspKeys(_) => "keys",
        Response::Latency(_) => "latencies",
        Response::Capture(_) => "packets",
        Response::Trace(_) => "IKE messages",
        Response::Bgp(_) => "routes",
        Response::Done(_) => "what it does",
        Response::Error(_) => "an error",
    };
    Failure::runtime(format!("the gateway answers with {kind}, which was not asked for; are the versions the same?"))
}

/// Sends one line and reads one.
pub fn exchange(socket: &Path, line: &[u8]) -> io::Result<(Response, BufReader<UnixStream>)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(line)?;
    stream.write_all(b"\n")?;
    let mut answer = Zeroizing::new(Vec::with_capacity(1 << 16));
    let mut reader = BufReader::new(stream);
    (&mut reader).take(LONGEST_RESPONSE).read_until(b'\n', &mut answer)?;
    Ok((serde_json::from_slice(&answer)?, reader))
}
