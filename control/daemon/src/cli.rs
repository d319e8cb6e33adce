//! The command line. What stands here as documentation is what `--help` shows.

mod bgp;
mod capture;
mod tunnel;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use bgp::{Bgp, Events as BgpEvents, OfTunnel as BgpTunnel, Rib as BgpRib};
pub use capture::Capture;
pub use tunnel::{Trace, Tunnel};

use crate::associations;

use crate::layout::Wan;

/// Where the daemon listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/bordergate/bordergate.sock";

/// An open IPsec border gateway: joins data centres to VPCs over IPsec, at the speed of the hardware.
///
/// Write a resource file (see examples/static.toml), check it with `bordergate check FILE`, run it with
/// `bordergate run FILE` as root, and look at the tunnels with `bordergate status`.
#[derive(Debug, Parser)]
#[command(name = "bordergate", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway in the foreground until SIGTERM or SIGINT; SIGHUP reads FILE again.
    ///
    /// Needs root, or CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_PERFMON. When it stops, it deletes its tunnels and
    /// takes its XDP programs off. When it is killed, the programs stay and drop what would otherwise leave in clear;
    /// `bordergate run` takes them over, `bordergate detach` removes them.
    ///
    /// A clean stop hands the VPC interfaces back to the kernel, which forwards in clear where net.ipv4.ip_forward is 1:
    /// keep it 0 on a host that is nothing but a gateway.
    Run(Box<Run>),
    /// Check a resource file: exit 0 with a summary, or 2 with everything that is wrong with it.
    Check {
        /// The resource file, in TOML.
        file: PathBuf,
    },
    /// Show the tunnels, workers and interfaces of the running gateway.
    Status(Status),
    /// Show how long packets are with the workers, in microseconds, since the gateway started.
    ///
    /// A packet's time is that of the turn in which its worker took and sent it: from when the worker began to look into its
    /// rings to when all is handed over and the kernel has been woken. What a packet waits in a ring before is not in it.
    Latency(Latency),
    /// Write packets of tunnels, before and after ESP, to a pcapng file for Wireshark or tshark.
    ///
    /// Workers copy the packets that match into a bounded queue; what finds it full is missed and counted, and no packet
    /// waits for it. Each tunnel has two interfaces in the file, such as tun-1/inner and tun-1/outer, and both sides of one
    /// packet have the same packet id. A packet that was dropped says in its comment why.
    ///
    /// The file holds what users send, in clear: it is of mode 0600, and should go when it has served.
    ///
    /// Watch the pings of one host, live:
    ///   bordergate capture tun-1 --side inner --host 10.1.0.2 --protocol icmp | tshark -r -
    /// Keep ten seconds of everything, and look at it:
    ///   bordergate capture --duration 10s --write all.pcapng && wireshark all.pcapng
    #[command(verbatim_doc_comment)]
    Capture(Box<Capture>),
    /// Look at one tunnel's IKE messages, rekey it, or set it up anew.
    #[command(subcommand)]
    Tunnel(Tunnel),
    /// Look at BGP: neighbours, routes and why they are taken, what has happened; drain a tunnel, reset a session.
    #[command(subcommand)]
    Bgp(Bgp),
    /// Send the peers to another gateway, so that this one can be taken out of service, or serve them here again.
    ///
    /// Peers that understand it (RFC 5685) are told at once and have a minute to move; those that begin are told in the answer
    /// to their first message. All others are served as before. It lasts until `--off` or the gateway's end.
    Drain(Drain),
    /// Remove XDP programs that a killed gateway left: its interfaces are the kernel's again.
    ///
    /// Until then they drop IPsec and VPC traffic, so that nothing leaves in clear. To be run in the network namespace
    /// that the gateway ran in; pins of interfaces that no longer exist are removed as well.
    Detach {
        /// Where the gateway pinned its programs (`run --pin-dir`).
        #[arg(long, value_name = "PATH", default_value = steer::DEFAULT_PIN_DIR)]
        pin_dir: PathBuf,
    },
}

/// The flags of `run`.
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// The resource file, in TOML.
    pub file: PathBuf,
    /// The interface towards the peers. Default: the one that has the connections' addresses, or the parent of the VLAN
    /// device that has them. Set it where they are configured on another interface, such as lo. What the kernel routes to
    /// its VLAN devices, such as IFACE.100, bears their tags.
    #[arg(long, value_name = "IFACE")]
    pub wan: Option<String>,
    /// The VLAN of what is sent to peers out of IFACE itself, 1 to 4094. For hosts where something else than a VLAN device
    /// tags the kernel's frames, or where all neighbours are configured by hand; otherwise tags follow the kernel's VLAN
    /// devices by themselves.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u16).range(1..=4094))]
    pub wan_vlan: Option<u16>,
    /// The cores that move packets, one worker on each, such as 2,3. Default: one per queue, up to one less than there
    /// are, so that one is left to control. Set it to keep workers on the NIC's NUMA node or off busy cores, or to have those that
    /// were set aside with isolcpus. Everything else of Bordergate keeps off these cores if there are others.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub cores: Vec<usize>,
    /// Receive queues to serve on each interface, from 0. Default: as many as every interface has. More than that, or
    /// fewer than the NIC spreads over, is refused or loses traffic: set `ethtool -L IFACE combined N` to the same N.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub queues: Option<u32>,
    /// How XDP programs are attached. auto: in the driver where it can, otherwise generic. Force generic where
    /// a driver's native mode misbehaves; force native to be told when it is not to be had.
    #[arg(long, value_enum, default_value_t = XdpMode::Auto)]
    pub xdp_mode: XdpMode,
    /// Whether the NIC shares its buffers with the workers. auto: where driver and kernel can. off works everywhere; on
    /// refuses to start without it.
    #[arg(long, value_enum, default_value_t = ZeroCopy::Auto)]
    pub zero_copy: ZeroCopy,
    /// Most packets taken at once, 1 to 64. Smaller ones trade throughput for latency under load.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub batch: u8,
    /// Entries of each receive and transmit ring, a power of two. Raise it when `status` shows rx_ring_full.
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = power_of_two)]
    pub ring_size: u32,
    /// Frames of each port, half to receive and half to transmit. At least four times the ring size keeps every ring
    /// full. Each takes 2 KiB of locked memory; 4 KiB where the interface's MTU is above 1770, and packets take up to three
    /// of them where it is above 3818.
    #[arg(long, value_name = "N", default_value_t = 8192)]
    pub frames: u32,
    /// How many security associations there is room for: each child of a tunnel takes two, and two more while it is rekeyed.
    /// Each costs every worker some 250 bytes of counters.
    #[arg(long, value_name = "N", default_value_t = associations::SLOTS, value_parser = clap::value_parser!(u32).range(2..=1 << 20))]
    pub associations: u32,
    /// Put the frames on 2 MiB pages: fewer TLB misses at high rates. They must be reserved (vm.nr_hugepages).
    #[arg(long)]
    pub huge_pages: bool,
    /// What a worker does when there is nothing to do. off: sleep at once (least power). adaptive: look for 50 us more,
    /// then sleep. always: never sleep (least latency, a whole core). napi: as always, and poll the driver from the
    /// worker instead of interrupts (Linux 5.11).
    #[arg(long, value_enum, default_value_t = BusyPoll::Adaptive)]
    pub busy_poll: BusyPoll,
    /// Whether a worker that has nothing to do encrypts and decrypts for one that has too much: one SA whose packets all arrive
    /// in one queue then gets the time of several cores. The order of packets stays. Set it to on where that is what is missing and
    /// each worker has a core of its own, close to the others; a helper that is held up holds up whom it helps. Without
    /// effect with one worker, or with --busy-poll off.
    #[arg(long, value_enum, default_value_t = HandOver::Off)]
    pub hand_over: HandOver,
    /// Which instructions encrypt: portable, aesni, vaes256 or vaes512. Default: the fastest that the processor has. Set it
    /// to compare them, or where wide vectors slow the rest of the machine down.
    #[arg(long, value_name = "KERNEL", env = "BORDERGATE_AEAD_KERNEL")]
    pub aead_kernel: Option<aead::Kernel>,
    /// The Unix socket that `bordergate status` asks, of mode 0600.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Where XDP programs are pinned so that they outlive a crash; a bpffs, mounted there if it is none. Change it to run
    /// several gateways on one host.
    #[arg(long, value_name = "PATH", default_value = steer::DEFAULT_PIN_DIR)]
    pub pin_dir: PathBuf,
    /// What is logged to standard error: error, warn, info, debug, trace, or per module, such as
    /// info,bordergate::control=debug.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: String,
}

impl Run {
    /// What it says of the interface towards the peers.
    pub fn wan(&self) -> Wan<'_> {
        Wan { name: self.wan.as_deref(), vlan: self.wan_vlan }
    }
}

/// The flags of `status`.
#[derive(Debug, Clone, Args)]
pub struct Status {
    /// One JSON object, for programs, instead of tables.
    #[arg(long)]
    pub json: bool,
    /// The socket of the gateway to ask (`run --socket`).
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Write the keys of the live ESP SAs to FILE (mode 0600) in the form of Wireshark's esp_sa table. Whoever has the file
    /// and a capture reads the traffic: for debugging only.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "watch"])]
    pub esp_keys: Option<PathBuf>,
    /// Show it again every second, until interrupted.
    #[arg(long)]
    pub watch: bool,
}

/// The flags of `latency`.
#[derive(Debug, Clone, Args)]
pub struct Latency {
    /// One JSON array, for programs, instead of a table.
    #[arg(long)]
    pub json: bool,
    /// The socket of the gateway to ask (`run --socket`).
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// The flags of `drain`.
#[derive(Debug, Clone, Args)]
pub struct Drain {
    /// The address of the gateway that takes over. It has to have the same tunnels, identities and keys.
    #[arg(long, value_name = "ADDRESS", required_unless_present = "off")]
    pub to: Option<IpAddr>,
    /// Serve peers here again.
    #[arg(long, conflicts_with = "to")]
    pub off: bool,
    /// The socket of the gateway to ask (`run --socket`).
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// `--xdp-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum XdpMode {
    Auto,
    Native,
    Generic,
}

/// `--zero-copy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ZeroCopy {
    Auto,
    On,
    Off,
}

/// `--busy-poll`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BusyPoll {
    Off,
    Adaptive,
    Always,
    Napi,
}

/// `--hand-over`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HandOver {
    On,
    Off,
}

fn power_of_two(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(number) if number.is_power_of_two() && (64..=65536).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err("a power of two from 64 to 65536 is needed".into()),
    }
}

#[cfg(test)]
pub mod tests {
    use clap::CommandFactory;

    use super::*;

    /// `bordergate run` with these arguments.
    pub fn run(arguments: &[&str]) -> Result<Run, clap::Error> {
        Cli::try_parse_from([&["bordergate", "run", "a.toml"], arguments].concat()).map(|cli| match cli.command {
            Command::Run(run) => *run,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let run = run(&[]).unwrap();
        assert_eq!(run.socket, PathBuf::from("/run/bordergate/bordergate.sock"));
        assert_eq!(run.pin_dir, PathBuf::from("/run/bordergate/bpf"));
        assert_eq!((run.batch, run.ring_size, run.frames, run.busy_poll), (64, 2048, 8192, BusyPoll::Adaptive));
        assert_eq!((run.cores.len(), run.queues, run.wan, run.hand_over), (0, None, None, HandOver::Off));
    }

    #[test]
    fn lists_and_limits() {
        assert_eq!(run(&["--cores", "0,1"]).unwrap().cores, [0, 1]);
        for wrong in [
            ["--batch", "0"],
            ["--batch", "65"],
            ["--ring-size", "1000"],
            ["--queues", "0"],
            ["--wan-vlan", "0"],
            ["--wan-vlan", "4095"],
            ["--busy-poll", "sometimes"],
            ["--cores", "a"],
            ["--hand-over", "maybe"],
        ] {
            let error = run(&wrong).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn drain_goes_somewhere_or_ends() {
        let parse = |arguments: &[&str]| Cli::try_parse_from([&["bordergate", "drain"], arguments].concat());
        assert!(parse(&["--to", "203.0.113.9"]).is_ok() && parse(&["--off"]).is_ok());
        for wrong in [&[][..], &["--to", "gw.example.org"], &["--to", "203.0.113.9", "--off"]] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn keys_do_not_go_with_json() {
        let parsed = Cli::try_parse_from(["bordergate", "status", "--json", "--esp-keys", "f"]);
        assert_eq!(parsed.unwrap_err().exit_code(), 2);
    }
}
