//! Who announces: a small BGP speaker over TCP, which says what it is told to as fast as it is read.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::addresses::{DEVICE, FEEDER};
use super::message::{HEADER, Kind, keepalive, open};

/// The feeder's AS number.
pub const FEEDER_AS: u32 = 65001;
/// That of the device under test.
pub const DEVICE_AS: u32 = 65000;
/// The port of BGP (RFC 4271 §8.2.1).
pub const PORT: u16 = 179;

/// A device that listens does so within a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// A session with the device under test, ended when dropped.
pub struct Feeder {
    stream: TcpStream,
    /// Why the device has ended the session, if it has.
    last_words: Arc<Mutex<Option<String>>>,
    listener: Option<JoinHandle<()>>,
}

impl Feeder {
    /// Brings up a session as soon as the device listens.
    ///
    /// # Errors
    /// Where it does not in time, or ends the session.
    pub fn connect() -> Result<Self> {
        let mut stream = reach()?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&open(FEEDER_AS, FEEDER))?;
        let mut input = BufReader::new(stream.try_clone()?);
        expect(Kind::Open, &mut input)?;
        stream.write_all(&keepalive())?;
        expect(Kind::Keepalive, &mut input)?;
        stream.set_read_timeout(None)?;
        let last_words = Arc::new(Mutex::new(None));
        let heard = Arc::clone(&last_words);
        let listener = thread::spawn(move || {
            let ended = listen(&mut input);
            *heard.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(ended);
        });
        Ok(Self { stream, last_words, listener: Some(listener) })
    }

    /// Says something; comes back when all of it is written.
    ///
    /// # Errors
    /// Where the device has ended the session.
    pub fn say(&self, messages: &[u8]) -> Result<()> {
        (&self.stream).write_all(messages).with_context(|| self.ended().unwrap_or_default())
    }

    /// Ends the session.
    pub fn hang_up(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Why the session is over, if it is.
    pub fn ended(&self) -> Option<String> {
        self.last_words.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.hang_up();
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn reach() -> Result<TcpStream> {
    let device = SocketAddr::new(DEVICE.into(), PORT);
    let began = Instant::now();
    loop {
        match TcpStream::connect_timeout(&device, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) if began.elapsed() > PATIENCE => {
                return Err(error).with_context(|| format!("the device does not listen at {device}"));
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Reads and forgets until the session ends; gives why.
fn listen(input: &mut impl Read) -> String {
    loop {
        match read(input) {
            Ok((kind, _)) if kind != Kind::Notification.code() => {}
            Ok((_, body)) => return format!("the device has ended the session: NOTIFICATION {body:02x?}"),
            Err(error) => return format!("the session is over: {error}"),
        }
    }
}

fn expect(kind: Kind, input: &mut impl Read) -> Result<()> {
    let (code, body) = read(input).with_context(|| format!("waiting for {kind:?}"))?;
    if code == Kind::Notification.code() {
        bail!("instead of {kind:?} the device sent a NOTIFICATION: {body:02x?}");
    }
    ensure!(code == kind.code(), "instead of {kind:?} the device sent a message of type {code}");
    Ok(())
}

/// The next message: its type, and what is behind the header.
fn read(input: &mut impl Read) -> std::io::Result<(u8, Vec<u8>)> {
    let mut header = [0; HEADER];
    input.read_exact(&mut header)?;
    let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
    let mut body = vec![0; length.saturating_sub(HEADER)];
    input.read_exact(&mut body)?;
    Ok((header[18], body))
}
