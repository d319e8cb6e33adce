//! strongSwan's charon as responder, at its best: OpenSSL for all cryptography, hash tables for its SAs, no log, no
//! cookies, no check for duplicates, no probes.
//!
//! It has one connection for all peers. ESP is kept out as far as it lets itself: its SAs go to the user-space library (a
//! kernel may come without ESP), and policies and routes, which that library would look for one by one, are not made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::credentials::{ROOT, SECRET};
use super::method::{Method, Proof};
use super::tunnels::End;
use crate::namespace::Pair;

/// Where Debian has it.
pub const CHARON: &str = "/usr/sbin/charon-systemd";
const SWANCTL: &str = "/usr/sbin/swanctl";
/// It listens within tenths of a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether it is there.
pub fn is_installed() -> bool {
    [CHARON, SWANCTL].iter().all(|program| Path::new(program).exists())
}

/// What one charon is told, removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// Writes its configuration.
    pub fn make(method: Method) -> Result<Self> {
        let folder = Self(std::env::temp_dir().join(format!("bgbench-{}-strongswan", std::process::id())));
        fs::create_dir_all(&folder.0)?;
        fs::write(folder.0.join("strongswan.conf"), daemon(&folder.socket()))?;
        fs::write(folder.0.join("swanctl.conf"), connection(method))?;
        let (certificate, key) = End::Responder.certificate();
        for (place, (name, content)) in [("x509", certificate), ("private", key), ("x509ca", ROOT)] {
            fs::create_dir_all(folder.0.join(place))?;
            fs::write(folder.0.join(place).join(name), content)?;
        }
        Ok(folder)
    }

    /// Starts charon on a core.
    pub fn start(&self, place: &Pair, core: usize) -> Result<Child> {
        let mut command = place.at_device("taskset");
        command.args(["--cpu-list", &core.to_string()]).arg(unconfined(CHARON)?);
        command.env("STRONGSWAN_CONF", self.0.join("strongswan.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().context("running ip: install iproute2")
    }

    /// Loads the connection as soon as charon listens.
    pub fn load(&self) -> Result<()> {
        let swanctl = unconfined(SWANCTL)?;
        let began = Instant::now();
        loop {
            let output = Command::new(&swanctl)
                .args(["--load-all", "--uri", &format!("unix://{}", self.socket().display())])
                .env("STRONGSWAN_CONF", self.0.join("strongswan.conf"))
                .env("SWANCTL_DIR", &self.0)
                .output()
                .context("running swanctl")?;
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            if output.status.success() {
                ensure!(said.contains("loaded connection"), "strongSwan did not load its connection: {said}");
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                bail!("strongSwan did not start; --without-strongswan leaves it out: {said}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn socket(&self) -> PathBuf {
        self.0.join("charon.vici")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A copy beside this program: AppArmor confines the installed one, by its path, to /etc.
fn unconfined(program: &str) -> Result<PathBuf> {
    let name = Path::new(program).file_name().context("a program has a name")?;
    let copy = std::env::current_exe()?.with_file_name(name);
    let length = |path: &Path| fs::metadata(path).map(|metadata| metadata.len()).ok();
    if length(&copy) != length(Path::new(program)) {
        fs::copy(program, &copy).with_context(|| format!("copying {program}"))?;
    }
    Ok(copy)
}

fn daemon(socket: &Path) -> String {
    let socket = socket.display();
    format!(
        "charon-systemd {{
            load = random nonce openssl kdf pem pkcs1 pkcs8 x509 pubkey constraints kernel-libipsec kernel-netlink socket-default vici
            ikesa_table_size = 16384
            ikesa_table_segments = 16
            dos_protection = no
            install_routes = no
            install_virtual_ip = no
            send_vendor_id = no
            plugins {{ vici {{ socket = unix://{socket} }} }}
            journal {{ default = -1 }}
        }}
        "
    )
}

fn connection(method: Method) -> String {
    let proposal = method.strongswan_proposal().unwrap_or_default();
    let (own, peers) = (End::Responder.network(), End::Initiator.network());
    let (local, remote) = match method.proof() {
        Proof::Psk => ("auth = psk".to_owned(), "auth = psk"),
        Proof::Rsa2048 => {
            let ((certificate, _), _) = End::Responder.certificate();
            (format!("auth = pubkey\ncerts = {certificate}\nid = {}", End::Responder.name()), "auth = pubkey")
        }
    };
    format!(
        "connections {{ bench {{
            version = 2
            proposals = {proposal}
            unique = never
            mobike = no
            send_cert = always
            dpd_delay = 0
            rekey_time = 0
            local {{ {local} }}
            remote {{ {remote} }}
            children {{ bench {{
                local_ts = {own}
                remote_ts = {peers}
                esp_proposals = aes128gcm16
                policies = no
                rekey_time = 0
            }} }}
        }} }}
        secrets {{ ike-bench {{ secret = \"{SECRET}\" }} }}
        "
    )
}
