//! `bordergate bgp`: asks a running gateway and shows what it answers.

use std::time::Duration;

use crate::api::bgp::{Ask, Event, Explain, Families, Neighbor, OfTunnel, Rib, Routes, Told, View};
use crate::api::{Request, Response};
use crate::cli;
use crate::client;
use crate::failure::Failure;
use crate::show;
use crate::table::{align, duration, row};

/// How often events that are followed are looked for.
const LOOK: Duration = Duration::from_millis(200);

/// Runs a subcommand of `bgp`.
///
/// # Errors
/// No gateway answers, or it cannot do what is asked.
pub fn run(command: &cli::Bgp) -> Result<(), Failure> {
    let tunnel = |of: &cli::BgpTunnel| OfTunnel { tunnel: of.tunnel.clone() };
    let (look, ask) = match command {
        cli::Bgp::Summary(look) => (look, Ask::Summary {}),
        cli::Bgp::Neighbor(of) => (&of.look, Ask::Neighbor(tunnel(of))),
        cli::Bgp::Rib(options) => (&options.look, Ask::Rib(rib(options))),
        cli::Bgp::Explain(options) => {
            let (prefix, gateway) = (options.prefix.clone(), options.gateway.clone());
            (&options.look, Ask::Explain(Explain { prefix, gateway }))
        }
        cli::Bgp::Events(options) => return events(options),
        cli::Bgp::Drain(of) => (&of.look, Ask::Drain(tunnel(of))),
        cli::Bgp::Undrain(of) => (&of.look, Ask::Undrain(tunnel(of))),
        cli::Bgp::Refresh(of) => (&of.look, Ask::Refresh(tunnel(of))),
        cli::Bgp::Reset(of) => (&of.look, Ask::Reset(tunnel(of))),
    };
    let told = match client::ask(&look.socket, &Request::Bgp(ask))? {
        Response::Bgp(told) => told,
        Response::Done(text) => return show(&text),
        other => return Err(client::unexpected(&other)),
    };
    let text = match (&told, command) {
        (told, _) if look.json => json(told)?,
        (Told::Neighbors(neighbors), cli::Bgp::Neighbor(_)) => {
            neighbors.iter().map(details).collect::<Vec<_>>().join("\n")
        }
        (Told::Neighbors(neighbors), _) => summary(neighbors),
        (Told::Routes(found), cli::Bgp::Explain(asked)) if found.routes.is_empty() => {
            format!("there is no route to {}", asked.prefix)
        }
        (Told::Routes(found), _) => routes(found),
        (Told::Events(found), _) => found.iter().map(line).collect::<Vec<_>>().join("\n"),
    };
    show(text.trim_end())
}

fn rib(options: &cli::BgpRib) -> Rib {
    let (view, tunnel) = match (&options.heard, &options.told) {
        (Some(tunnel), _) => (View::In, Some(tunnel.clone())),
        (None, Some(tunnel)) => (View::Out, Some(tunnel.clone())),
        (None, None) => (if options.best { View::Best } else { View::All }, None),
    };
    Rib { view, gateway: options.gateway.clone(), tunnel, limit: options.limit }
}

fn json(told: &Told) -> Result<String, Failure> {
    let value = match told {
        Told::Neighbors(neighbors) => serde_json::json!({ "neighbors": neighbors }),
        Told::Routes(routes) => serde_json::json!(routes),
        Told::Events(events) => serde_json::json!({ "events": events }),
    };
    serde_json::to_string(&value).map_err(Failure::runtime)
}

fn events(options: &cli::BgpEvents) -> Result<(), Failure> {
    let mut after = 0;
    loop {
        let found = match client::ask(&options.look.socket, &Request::Bgp(Ask::Events { after }))? {
            Response::Bgp(Told::Events(found)) => found,
            other => return Err(client::unexpected(&other)),
        };
        if options.look.json && !options.follow {
            return show(&json(&Told::Events(found))?);
        }
        for event in &found {
            show(&if options.look.json {
                serde_json::to_string(event).map_err(Failure::runtime)?
            } else {
                line(event)
            })?;
        }
        if !options.follow {
            return Ok(());
        }
        after = found.last().map_or(after, |event| event.number);
        std::thread::sleep(LOOK);
    }
}

fn line(event: &Event) -> String {
    let Event { number, time, gateway, tunnel, text } = event;
    format!("{time} #{number} {gateway} {tunnel}: {text}")
}

fn both(of: Families) -> String {
    if of.ipv6 == 0 { of.ipv4.to_string() } else { format!("{}+{}", of.ipv4, of.ipv6) }
}

fn summary(neighbors: &[Neighbor]) -> String {
    if neighbors.is_empty() {
        return "no BGP is spoken: no connection has routing = \"bgp\" and a tunnel that is wanted".to_owned();
    }
    let head = ["TUNNEL", "GATEWAY", "NEIGHBOR", "ASN", "STATE", "FOR", "BFD", "RECEIVED", "TOLD"];
    let mut rows = vec![row(&head)];
    for neighbor in neighbors {
        let drained = if neighbor.drained { " (drained)" } else { "" };
        rows.push(vec![
            format!("{}{drained}", neighbor.tunnel),
            neighbor.gateway.clone(),
            neighbor.remote.clone(),
            neighbor.remote_asn.to_string(),
            neighbor.state.clone(),
            duration(neighbor.state_seconds),
            neighbor.bfd.clone().unwrap_or_else(|| "-".to_owned()),
            both(neighbor.prefixes_received),
            both(neighbor.prefixes_told),
        ]);
    }
    let mut text = String::new();
    align(&mut text, &rows);
    let down = neighbors.iter().filter(|neighbor| neighbor.state != "established");
    for (neighbor, error) in down.filter_map(|neighbor| Some((neighbor, neighbor.last_error.as_ref()?))) {
        text.push_str(&format!("{}: {error}\n", neighbor.tunnel));
    }
    text
}

fn details(neighbor: &Neighbor) -> String {
    let mut lines = vec![
        format!(
            "{}: AS {} at {}, from AS {} at {} ({} of {})",
            neighbor.tunnel,
            neighbor.remote_asn,
            neighbor.remote,
            neighbor.local_asn,
            neighbor.local,
            neighbor.connection,
            neighbor.gateway
        ),
        format!("  state      {} for {}", neighbor.state, duration(neighbor.state_seconds)),
        format!("  bfd        {}", neighbor.bfd.as_deref().unwrap_or("not spoken")),
        format!("  received   {} of at most {} prefixes", both(neighbor.prefixes_received), neighbor.prefix_limit),
        format!("  told       {} prefixes", both(neighbor.prefixes_told)),
        format!("  import     {}", neighbor.import),
        format!("  export     {}{}", neighbor.export, if neighbor.drained { ", drained" } else { "" }),
        format!("  came up    {} times", neighbor.times_up),
    ];
    if let Some(agreed) = &neighbor.negotiated {
        lines.push(format!("  router id  {}", agreed.router_id));
        lines.push(format!("  hold time  {} s", agreed.hold_seconds));
        lines.push(format!("  families   {}", agreed.families.join(", ")));
        lines.push(format!("  agreed on  {}", agreed.capabilities.join(", ")));
        lines.extend(agreed.restart_seconds.map(|time| format!("  restart    routes are kept for {time} s")));
    }
    if let Some(error) = &neighbor.last_error {
        let ago = neighbor.last_error_seconds.map_or_else(String::new, |time| format!(" ({} ago)", duration(time)));
        lines.push(format!("  last error {error}{ago}"));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn routes(found: &Routes) -> String {
    let mut rows = vec![row(&["", "PREFIX", "FROM", "NEXT HOP", "PATH", "PREF", "MED", "COMMUNITIES", "WHY NOT"])];
    for route in &found.routes {
        let mark = format!(
            "{}{}{}",
            if route.best { "*" } else { "" },
            if route.told { ">" } else { "" },
            if route.stale { "S" } else { "" }
        );
        let path: Vec<String> = route.as_path.iter().map(ToString::to_string).collect();
        let number = |value: Option<u32>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let communities = [&route.communities[..], &route.large_communities[..]].concat().join(" ");
        rows.push(vec![
            mark,
            route.prefix.clone(),
            route.source.clone(),
            route.next_hop.clone(),
            if path.is_empty() { "-".to_owned() } else { path.join(" ") },
            number(route.local_pref),
            number(route.med),
            if communities.is_empty() { "-".to_owned() } else { communities },
            route.refused.clone().or_else(|| route.lost_by.clone()).unwrap_or_default(),
        ]);
    }
    let mut text = String::new();
    align(&mut text, &rows);
    if found.left_out > 0 {
        text.push_str(&format!("and {} more: --limit shows them\n", found.left_out));
    }
    text + "* traffic takes it, > peers are told of it, S its source is gone\n"
}
