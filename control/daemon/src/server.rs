//! The API's Unix socket: takes requests, hands them to the control loop, writes its answers.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::os::unix::net::UnixStream as Probe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use rustix::fs::Mode;
use rustix::process::umask;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::api::{LONGEST_REQUEST, Request, Response};
use crate::capture::Session;
use crate::failure::Failure;

/// Clients that are served at once; more wait.
const CLIENTS: usize = 16;
/// How long a client may take to ask, and to read.
const PATIENCE: Duration = Duration::from_secs(5);
/// Room for an answer before it grows: keys then never move in memory.
const ROOM: usize = 1 << 16;

/// A request, and where its answer goes.
pub type Question = (Request, oneshot::Sender<Answer>);

/// How a request is answered.
pub enum Answer {
    /// By one line.
    Once(Response),
    /// By packets, until the client wants no more.
    Capture(Arc<Session>),
}

/// The socket; removed when dropped.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
}

impl Server {
    /// Listens on `path`, for its owner alone, and serves from the current runtime's tasks.
    ///
    /// # Errors
    /// Another gateway answers there, or the socket cannot be made.
    pub fn start(path: &Path, questions: mpsc::Sender<Question>) -> Result<Self, Failure> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(directory)
                .with_context(|| format!("cannot create the socket's directory {}", directory.display()))?;
        }
        remove_stale(path)?;
        let before = umask(Mode::from_raw_mode(0o177));
        let listener = UnixListener::bind(path);
        umask(before);
        let listener = listener.with_context(|| format!("cannot listen on {}", path.display()))?;
        tokio::spawn(serve(listener, questions));
        Ok(Self { path: path.into() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(socket = %self.path.display(), %error, "the socket could not be removed");
        }
    }
}

/// Removes the socket of a gateway that is no more.
fn remove_stale(path: &Path) -> Result<(), Failure> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => return Err(Failure::runtime(format!("{} is there and is no socket; remove it", path.display()))),
        Err(_) => return Ok(()),
    }
    if Probe::connect(path).is_ok() {
        return Err(Failure::runtime(format!(
            "another gateway answers on {}: stop it, or give this one a --socket and a --pin-dir of its own",
            path.display()
        )));
    }
    fs::remove_file(path).with_context(|| format!("cannot remove the stale socket {}", path.display()))?;
    Ok(())
}

async fn serve(listener: UnixListener, questions: mpsc::Sender<Question>) {
    let room = Arc::new(Semaphore::new(CLIENTS));
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let questions = questions.clone();
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, questions, permit).await {
                        tracing::debug!(%error, "a client went away");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a client could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(
    stream: UnixStream,
    questions: mpsc::Sender<Question>,
    permit: OwnedSemaphorePermit,
) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let limited = (&mut reader).take(LONGEST_REQUEST as u64);
        let mut limited = limited;
        if timeout(PATIENCE, limited.read_until(b'\n', &mut line)).await?? == 0 {
            return Ok(());
        }
        let answer = if line.ends_with(b"\n") || line.len() < LONGEST_REQUEST {
            match serde_json::from_slice(&line) {
                Ok(request) => ask(request, &questions).await,
                Err(error) => refuse(format!("the request is not understood: {error}")),
            }
        } else {
            refuse(format!("the request is longer than {LONGEST_REQUEST} bytes"))
        };
        let response = match answer {
            Answer::Once(response) => response,
            Answer::Capture(session) => return serve_capture(session, reader.into_inner(), writer, permit),
        };
        let last = matches!(response, Response::Error(_));
        let mut bytes = Zeroizing::new(Vec::with_capacity(ROOM));
        serde_json::to_writer(&mut *bytes, &response)?;
        bytes.push(b'\n');
        timeout(PATIENCE, writer.write_all(&bytes)).await??;
        if last {
            return Ok(());
        }
    }
}

/// Serves a capture from a thread of its own: control has other duties.
fn serve_capture(
    session: Arc<Session>,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    permit: OwnedSemaphorePermit,
) -> io::Result<()> {
    let stream = reader.reunite(writer).map_err(io::Error::other)?.into_std()?;
    stream.set_nonblocking(false)?;
    let serve = move || {
        if let Err(error) = session.serve(&stream) {
            tracing::debug!(%error, "the capture's client went away");
        }
        drop(permit);
    };
    thread::Builder::new().name("capture".to_owned()).spawn(serve).map(drop)
}

fn refuse(error: String) -> Answer {
    Answer::Once(Response::Error(error))
}

async fn ask(request: Request, questions: &mpsc::Sender<Question>) -> Answer {
    let (answer, answered) = oneshot::channel();
    let gone = || refuse("the gateway is stopping".to_owned());
    if questions.send((request, answer)).await.is_err() {
        return gone();
    }
    answered.await.unwrap_or_else(|_| gone())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::client;

    #[tokio::test]
    async fn answers_its_owner_and_refuses_nonsense() {
        let path = std::env::temp_dir().join(format!("bordergate-api-{}", std::process::id()));
        let (sender, mut receiver) = mpsc::channel::<Question>(4);
        let server = Server::start(&path, sender.clone()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Server::start(&path, sender).unwrap_err().lines()[0].contains("another gateway"));
        tokio::spawn(async move {
            while let Some((_, answer)) = receiver.recv().await {
                let _ = answer.send(Answer::Once(Response::Status(Box::default())));
            }
        });
        let there = path.clone();
        let (good, bad) = tokio::task::spawn_blocking(move || {
            (
                client::ask(&there, &Request::Status {}),
                client::exchange(&there, "x".repeat(2 * LONGEST_REQUEST).as_bytes()),
            )
        })
        .await
        .unwrap();
        assert!(matches!(good, Ok(Response::Status(_))));
        assert!(bad.is_err() || matches!(bad, Ok((Response::Error(_), _))));
        drop(server);
        assert!(!path.exists());
    }
}
