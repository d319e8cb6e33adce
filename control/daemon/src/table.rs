//! The status for people.

use std::fmt::Write;

use crate::api::{self, Status};

/// Several small tables, each with aligned columns.
pub fn render(status: &Status) -> String {
    let mut text = String::new();
    for warning in &status.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    let mut rows = vec![row(&["TUNNEL", "STATE", "FOR", "LOCAL", "REMOTE", "ESP", "IN", "OUT", "DROPPED"])];
    for tunnel in &status.tunnels {
        let esp = tunnel.esp.as_ref().map_or("-".to_owned(), |esp| {
            let esn = if esp.esn { "-esn" } else { "" };
            let over = if esp.encapsulation == "udp" { " in UDP" } else { "" };
            let times = if esp.child_sas > 1 { format!(" x{}", esp.child_sas) } else { String::new() };
            format!("{}{esn}{over}{times}", esp.suite)
        });
        let counters = &tunnel.counters;
        rows.push(vec![
            tunnel.name.clone(),
            tunnel.state.clone(),
            duration(tunnel.since_seconds),
            tunnel.local.clone(),
            tunnel.remote.clone(),
            esp,
            format!("{} ({})", counters.packets_in, bytes(counters.bytes_in)),
            format!("{} ({})", counters.packets_out, bytes(counters.bytes_out)),
            counters.drops.values().sum::<u64>().to_string(),
        ]);
    }
    align(&mut text, &rows);
    for tunnel in &status.tunnels {
        if let Some(reason) = &tunnel.reason {
            let _ = writeln!(text, "{}: {}\n  -> {}", tunnel.name, reason.text, reason.hint);
        }
    }
    for tunnel in &status.tunnels {
        let ike = tunnel.ike.iter().map(|ike| ("IKE", &ike.weak));
        let esp = tunnel.esp.iter().map(|esp| ("ESP", &esp.weak));
        let weak: Vec<String> = ike
            .chain(esp)
            .filter(|(_, weak)| !weak.is_empty())
            .map(|(what, weak)| format!("{} for {what}", weak.join(", ")))
            .collect();
        if !weak.is_empty() {
            let _ = writeln!(text, "{}: weak: {}", tunnel.name, weak.join("; "));
        }
    }
    for tunnel in &status.tunnels {
        if let Some(path_mtu) = &tunnel.path_mtu
            && let Some(learned) = &path_mtu.learned
        {
            let (name, expires) = (&tunnel.name, duration(learned.expires_seconds));
            let _ = writeln!(
                text,
                "{name}: path MTU {} as {} told, tried again in {expires}",
                path_mtu.bytes, learned.router
            );
        }
    }
    for gateway in status.gateways.iter().filter(|gateway| gateway.errors_suppressed > 0) {
        let api::Gateway { name, errors_sent, errors_suppressed } = gateway;
        let _ = writeln!(text, "{name}: {errors_sent} ICMP errors sent, {errors_suppressed} suppressed");
    }
    let mut rows = vec![row(&["CORE", "RECEIVED", "TRANSMITTED", "PASSED", "DROPPED", "RX/S", "TX/S", "BUSY"])];
    for worker in &status.workers {
        rows.push(vec![
            worker.core.to_string(),
            worker.received.to_string(),
            worker.transmitted.to_string(),
            worker.passed.to_string(),
            worker.dropped.to_string(),
            format!("{:.0}", worker.rates.received_pps),
            format!("{:.0}", worker.rates.transmitted_pps),
            format!("{:.1} %", worker.rates.busy_percent),
        ]);
    }
    text.push('\n');
    align(&mut text, &rows);
    for worker in status.workers.iter().filter(|worker| worker.hand_over != api::HandOver::default()) {
        let api::HandOver { handed_over, helped, taken_back, unhelped } = worker.hand_over;
        let _ = writeln!(
            text,
            "core {} handed over {handed_over} packets, took back {taken_back}, found no help for {unhelped}; helped with {helped}",
            worker.core
        );
    }
    for worker in status.workers.iter().filter(|worker| !worker.drops.is_empty()) {
        let drops: Vec<String> = worker.drops.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let _ = writeln!(text, "core {} dropped: {}", worker.core, drops.join(", "));
    }
    let mut rows = vec![row(&["INTERFACE", "SIDE", "XDP", "QUEUE", "COPY", "RING FULL", "STEERED", "TO KERNEL"])];
    for interface in &status.interfaces {
        let steer = |name: &str| interface.steer.get(name).copied().unwrap_or(0).to_string();
        for queue in &interface.queues {
            rows.push(vec![
                interface.name.clone(),
                interface.side.clone(),
                interface.xdp_mode.clone(),
                queue.queue.to_string(),
                if queue.zero_copy { "zero-copy" } else { "copy" }.to_owned(),
                queue.rx_ring_full.to_string(),
                steer("steered"),
                steer("to_kernel"),
            ]);
        }
    }
    text.push('\n');
    align(&mut text, &rows);
    text
}

/// How long packets are with the workers.
pub fn latencies(latencies: &[api::Latency]) -> String {
    let mut rows = vec![row(&["CORE", "DIRECTION", "PACKETS", "MIN", "P50", "P90", "P99", "P99.9", "MAX"])];
    for latency in latencies {
        let direction = match latency.direction {
            Some(api::Direction::ToPeer) => "to peer",
            Some(api::Direction::FromPeer) => "from peer",
            None => "both",
        };
        let core = latency.core.map_or_else(|| "all".to_owned(), |core| core.to_string());
        let api::Latency { min_us, p50_us, p90_us, p99_us, p999_us, max_us, .. } = *latency;
        let times = [min_us, p50_us, p90_us, p99_us, p999_us, max_us].map(|time| format!("{time:.1}"));
        rows.push([core, direction.to_owned(), latency.packets.to_string()].into_iter().chain(times).collect());
    }
    let mut text = String::new();
    align(&mut text, &rows);
    text + "times in \u{b5}s\n"
}

/// Cells of a row.
pub fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

/// Rows with their cells under each other, behind the text.
pub fn align(text: &mut String, rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
}

/// A time, short.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds as u64;
    match (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (0, hours, minutes, _) => format!("{hours}h{minutes:02}m"),
        (days, hours, ..) => format!("{days}d{hours:02}h"),
    }
}

fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            let digits = usize::from(unit != "B");
            return format!("{value:.digits$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Reason, Tunnel};

    #[test]
    fn columns_stand_under_each_other_and_reasons_below() {
        let tunnel = |name: &str, reason: Option<Reason>| Tunnel {
            name: name.into(),
            state: if reason.is_some() { "DOWN" } else { "UP" }.into(),
            reason,
            ..Tunnel::default()
        };
        let reason = Reason { code: "wrong_psk".into(), text: "the key is wrong".into(), hint: "set the same".into() };
        let status =
            Status { tunnels: vec![tunnel("a", None), tunnel("a-long-name", Some(reason))], ..Status::default() };
        let text = render(&status);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("STATE"), lines[2].find("DOWN"));
        assert_eq!(lines[1].find("UP"), lines[2].find("DOWN"));
        assert_eq!(lines[3..5], ["a-long-name: the key is wrong", "  -> set the same"]);
    }

    #[test]
    fn latencies_are_told_by_core_and_direction() {
        let one = api::Latency {
            core: Some(2),
            direction: Some(api::Direction::FromPeer),
            packets: 7,
            min_us: 1.26,
            p50_us: 2.0,
            p90_us: 3.0,
            p99_us: 4.0,
            p999_us: 5.0,
            max_us: 1000.0,
        };
        let text = latencies(&[one, api::Latency { core: None, direction: None, ..one }]);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["2", "from", "peer", "7", "1.3", "2.0", "3.0", "4.0", "5.0", "1000.0"]);
        assert_eq!(lines[2][..3], ["all", "both", "7"]);
    }

    #[test]
    fn quantities_are_short() {
        assert_eq!([59.9, 61.0, 3660.0, 90000.0].map(duration), ["59s", "1m01s", "1h01m", "1d01h"]);
        assert_eq!([1023, 1024, 3 << 30].map(bytes), ["1023 B", "1.0 KiB", "3.0 GiB"]);
        assert_eq!(bytes(5 << 40), "5.0 TiB");
    }
}
