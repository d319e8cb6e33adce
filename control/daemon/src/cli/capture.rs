//! The flags of `capture`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use super::DEFAULT_SOCKET;
use crate::api::capture::{MOST_KEPT, Side};

/// The flags of `capture`.
#[derive(Debug, Clone, Args)]
pub struct Capture {
    /// Names of tunnels. Default: all there are when it begins.
    #[arg(value_name = "TUNNEL")]
    pub tunnels: Vec<String>,
    /// inner: in clear, before packets are sealed or after they were opened. outer: as on the WAN.
    #[arg(long, value_enum, default_value_t = SideFlag::Both)]
    pub side: SideFlag,
    /// Only packets whose inner source or destination is this address, or in this prefix.
    #[arg(long, value_name = "PREFIX", value_parser = prefix)]
    pub host: Option<IpNet>,
    /// Only packets whose inner protocol is this: tcp, udp, icmp (of either IP version), or a number.
    #[arg(long, value_name = "PROTOCOL", value_parser = protocols)]
    pub protocol: Option<Protocols>,
    /// Only packets whose inner source or destination port is this, of TCP or UDP. Fragments have none.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// One of N packets that match; both sides of it.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub sample: u64,
    /// Most bytes that are kept of a packet. The queue takes 16 MiB: the shorter, the more packets wait in it.
    #[arg(long, value_name = "BYTES", default_value_t = 4096,
          value_parser = clap::value_parser!(u32).range(20..=i64::from(MOST_KEPT)))]
    pub snap_length: u32,
    /// End after N packets; the inner and the outer side count as one each.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after so long, such as 10s, 5m or 1h.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// The file to write, of mode 0600, replaced if it is there; - is standard output.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub write: PathBuf,
    /// The socket of the gateway to ask (`run --socket`).
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// `--side`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SideFlag {
    Inner,
    Outer,
    Both,
}

impl SideFlag {
    /// The only side, if it is one.
    pub fn only(self) -> Option<Side> {
        match self {
            Self::Inner => Some(Side::Inner),
            Self::Outer => Some(Side::Outer),
            Self::Both => None,
        }
    }
}

/// `--protocol`: more than one where the IP versions have their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocols(pub Vec<u8>);

fn protocols(text: &str) -> Result<Protocols, String> {
    let numbers = match text {
        "tcp" => vec![6],
        "udp" => vec![17],
        "icmp" => vec![1, 58],
        number => vec![number.parse().map_err(|_| "tcp, udp, icmp or a number from 0 to 255 is needed")?],
    };
    Ok(Protocols(numbers))
}

fn prefix(text: &str) -> Result<IpNet, String> {
    let host = |_| text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(host).map_err(|_| "an address or a prefix is needed, such as 10.1.0.2 or 10.1.0.0/16".into())
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a number and s, m or h is needed, such as 10s".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let number = number.parse::<u32>().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn capture(arguments: &[&str]) -> Result<Capture, clap::Error> {
        let parsed = Cli::try_parse_from([&["bordergate", "capture"], arguments].concat());
        parsed.map(|cli| match cli.command {
            Command::Capture(capture) => *capture,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn what_is_not_asked_for_is_everything() {
        let all = capture(&[]).unwrap();
        assert!(all.tunnels.is_empty() && all.side.only().is_none() && all.host.is_none() && all.protocol.is_none());
        assert_eq!((all.port, all.sample, all.snap_length, all.count, all.duration), (None, 1, 4096, None, None));
    }

    #[test]
    fn conditions_are_read() {
        let some =
            ["tun-1", "tun-2", "--side", "outer", "--host", "10.1.0.2", "--protocol", "icmp", "--duration", "5m"];
        let some = capture(&some).unwrap();
        assert_eq!((some.tunnels.len(), some.side.only()), (2, Some(Side::Outer)));
        assert_eq!(some.host, Some("10.1.0.2/32".parse().unwrap()));
        assert_eq!((some.protocol, some.duration), (Some(Protocols(vec![1, 58])), Some(Duration::from_secs(300))));
        assert_eq!(capture(&["--protocol", "47"]).unwrap().protocol, Some(Protocols(vec![47])));
        assert_eq!(capture(&["--host", "2001:db8::/32"]).unwrap().host, Some("2001:db8::/32".parse().unwrap()));
    }

    #[test]
    fn what_is_wrong_is_told_with_what_is_allowed() {
        for (arguments, allowed) in [
            (["--host", "10.1"], "10.1.0.0/16"),
            (["--protocol", "gre"], "icmp"),
            (["--protocol", "256"], "0 to 255"),
            (["--duration", "10"], "10s"),
            (["--duration", "0s"], "10s"),
            (["--duration", "\u{fc}"], "10s"),
            (["--port", "0"], "1..=65535"),
            (["--sample", "0"], "1.."),
            (["--snap-length", "19"], "20..=65535"),
            (["--count", "0"], "1.."),
            (["--side", "left"], "inner, outer, both"),
        ] {
            let error = capture(&arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
            assert!(error.to_string().contains(allowed), "{arguments:?}: {error}");
        }
    }
}
