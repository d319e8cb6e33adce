//! Attaching to real interfaces, and what is left when the process that did so is killed.

mod namespace;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bordergate_ebpf::{Attached, Counter, LoadOptions, Mode, Side, Steer, SteerError, XdpMode, detach_pinned};
use namespace::Namespace;
use nix::mount::{MntFlags, umount2};

/// A directory for pins of its own, unmounted and removed when dropped.
struct PinDir(PathBuf);

impl PinDir {
    /// Not yet on a bpffs.
    fn bare(test: &str) -> Self {
        let path = PathBuf::from(format!("/run/bp-{}-{test}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// On a bpffs, mounted by the loader.
    fn mounted(test: &str) -> Self {
        let directory = Self::bare(test);
        Steer::load(directory.options()).unwrap();
        directory
    }

    fn options(&self) -> LoadOptions {
        LoadOptions { pin_dir: Some(self.0.clone()), ..LoadOptions::default() }
    }

    /// The kernel may put files of its own there.
    fn pins(&self) -> usize {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with("-native") || name.ends_with("-generic")).count()
    }
}

impl Drop for PinDir {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
        let _ = fs::remove_dir(&self.0);
    }
}

/// A process in a namespace that runs [`process`], killed when dropped.
struct Process {
    child: Child,
    said: String,
}

impl Process {
    /// Starts one as a user would, and waits for what it has to say.
    fn start(namespace: &Namespace, task: &str, pin_dir: &Path) -> Self {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &namespace.name])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "process", "--ignored", "--nocapture"])
            .env("BORDERGATE_TEST_TASK", task)
            .env("BORDERGATE_TEST_PINS", pin_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.as_mut().unwrap())
            .lines()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("said: ")?.1.to_owned()))
            .expect("the process says something");
        Self { child, said }
    }

    fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::take(&mut self.said)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "started as a process of its own by the tests below"]
fn process() {
    let Ok(task) = std::env::var("BORDERGATE_TEST_TASK") else { return };
    let pin_dir = PathBuf::from(std::env::var_os("BORDERGATE_TEST_PINS").unwrap());
    let options = LoadOptions { pin_dir: Some(pin_dir.clone()), ..LoadOptions::default() };
    match task.as_str() {
        "attach" => {
            let mut steer = Steer::load(options).unwrap();
            let attached = steer.attach("right", Side::Vpc, XdpMode::Auto).unwrap();
            println!("said: {} {}", attached.mode, attached.taken_over);
            // Until killed.
            let _ = std::io::stdin().read(&mut [0]);
        }
        "detach" => println!("said: {}", detach_pinned(&pin_dir).unwrap().len()),
        "load" => println!("said: {}", Steer::load(options).unwrap_err()),
        other => panic!("no task {other}"),
    }
}

/// Whether an XDP program is attached to `right`, and how.
fn program(namespace: &Namespace) -> Option<Mode> {
    let link = namespace.ip(&["link", "show", "right"]);
    match link {
        link if link.contains(" xdpgeneric ") => Some(Mode::Generic),
        link if link.contains(" xdp ") => Some(Mode::Native),
        _ => None,
    }
}

/// Detaching ends in the background.
fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        sleep(Duration::from_millis(10));
    }
}

/// Sends five packets to a host beyond `right` and returns how many reached the kernel's IP layer.
fn packets_that_reach_the_kernel(namespace: &Namespace) -> u64 {
    let received = || {
        let snmp = fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
        let mut lines = snmp.lines().filter(|line| line.starts_with("Ip:")).map(str::split_whitespace);
        let position = lines.next().unwrap().position(|name| name == "InReceives").unwrap();
        lines.next().unwrap().nth(position).unwrap().parse::<u64>().unwrap()
    };
    namespace.run(|| {
        let socket = UdpSocket::bind("10.9.0.1:0").unwrap();
        let before = received();
        for _ in 0..5 {
            socket.send_to(b"clear", "10.9.0.9:9").unwrap();
        }
        sleep(Duration::from_millis(200));
        received() - before
    })
}

fn address_beyond_right(namespace: &Namespace) {
    let shown = namespace.ip(&["-o", "link", "show", "right"]);
    let mac = shown.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    namespace.ip(&["addr", "add", "10.9.0.1/24", "dev", "left"]);
    namespace.ip(&["neigh", "add", "10.9.0.9", "lladdr", &mac, "dev", "left"]);
}

#[test]
fn after_a_kill_nothing_passes_until_the_pin_is_removed() {
    let Some(namespace) = Namespace::with_veth() else { return };
    let pins = PinDir::mounted("kill");
    address_beyond_right(&namespace);
    assert_eq!(packets_that_reach_the_kernel(&namespace), 5, "without a program the kernel sees them");

    assert_eq!(Process::start(&namespace, "attach", &pins.0).kill(), "native false");
    assert_eq!(program(&namespace), Some(Mode::Native));
    assert_eq!(packets_that_reach_the_kernel(&namespace), 0);

    // The next one takes over, and is killed in its turn.
    assert_eq!(Process::start(&namespace, "attach", &pins.0).kill(), "native true");
    assert_eq!(packets_that_reach_the_kernel(&namespace), 0);

    assert_eq!(Process::start(&namespace, "detach", &pins.0).said, "1");
    wait_for("the program is still attached", || program(&namespace).is_none());
    assert_eq!(packets_that_reach_the_kernel(&namespace), 5);
    assert_eq!(pins.pins(), 0);
}

#[test]
fn pins_that_would_not_outlive_the_process_are_refused() {
    let Some(namespace) = Namespace::with_veth() else { return };
    let pins = PinDir::bare("private");
    let said = Process::start(&namespace, "load", &pins.0).kill();
    let by_hand = format!("mkdir -p {0} && mount -t bpf bpf {0}", pins.0.display());
    assert!(said.starts_with("cannot pin in /run/bp-") && said.ends_with(&by_hand), "{said}");
}

#[test]
fn a_clean_stop_leaves_nothing_attached() {
    let Some(namespace) = Namespace::with_veth() else { return };
    let pins = PinDir::mounted("clean");
    namespace.run(|| {
        let mut steer = Steer::load(pins.options()).unwrap();
        let Attached { pin, .. } = steer.attach("right", Side::Wan, XdpMode::Generic).unwrap();
        assert!(pin.unwrap().exists());
        assert_eq!(steer.attach("right", Side::Wan, XdpMode::Generic), already_attached());
        assert_eq!(program(&namespace), Some(Mode::Generic));
        steer.detach_all().unwrap();
        assert_eq!(steer.detach("right"), Err(SteerError::NotAttached { interface: "right".into() }));
    });
    wait_for("the program is still attached", || program(&namespace).is_none());
    assert_eq!(pins.pins(), 0);
}

fn already_attached() -> Result<Attached, SteerError> {
    Err(SteerError::AlreadyAttached { interface: "right".into() })
}

#[test]
fn a_pin_in_the_other_mode_is_replaced_only_where_that_mode_will_not_do() {
    let Some(namespace) = Namespace::with_veth() else { return };
    let pins = PinDir::mounted("modes");
    namespace.run(|| {
        for (mode, expected, taken_over) in [
            (XdpMode::Generic, Mode::Generic, false),
            (XdpMode::Auto, Mode::Generic, true),
            (XdpMode::Native, Mode::Native, false),
            (XdpMode::Auto, Mode::Native, true),
        ] {
            // Dropped without a detach, as by a crash.
            let attached = Steer::load(pins.options()).unwrap().attach("right", Side::Vpc, mode).unwrap();
            assert_eq!((attached.mode, attached.taken_over), (expected, taken_over), "{mode:?}");
            assert_eq!(program(&namespace), Some(expected));
            assert_eq!(pins.pins(), 1);
        }
    });
}

#[test]
fn pins_of_vanished_interfaces_are_removed_and_others_left_alone() {
    let Some(namespace) = Namespace::with_veth() else { return };
    let Some(elsewhere) = Namespace::with_veth() else { return };
    let pins = PinDir::mounted("stale");
    for namespace in [&namespace, &elsewhere] {
        namespace.run(|| {
            Steer::load(pins.options()).unwrap().attach("right", Side::Vpc, XdpMode::Auto).unwrap();
        });
    }
    namespace.ip(&["link", "del", "right"]);
    assert_eq!(pins.pins(), 2);
    namespace.ip(&["link", "add", "left", "type", "veth", "peer", "name", "right"]);
    namespace.run(|| {
        Steer::load(pins.options()).unwrap().attach("right", Side::Vpc, XdpMode::Auto).unwrap();
        assert_eq!(pins.pins(), 2);
        let detached = detach_pinned(&pins.0).unwrap();
        assert_eq!(detached.len(), 1);
    });
    assert_eq!(program(&elsewhere), Some(Mode::Native));
}

#[test]
fn what_cannot_be_attached_says_why() {
    let Some(namespace) = Namespace::with_veth() else { return };
    namespace.run(|| {
        let unpinned = LoadOptions { pin_dir: None, queues: 2, addresses: 2 };
        let mut first = Steer::load(unpinned.clone()).unwrap();
        let mut second = Steer::load(unpinned).unwrap();
        assert_eq!(
            first.attach("absent", Side::Vpc, XdpMode::Auto),
            Err(SteerError::NoSuchInterface { interface: "absent".into() })
        );
        first.attach("right", Side::Vpc, XdpMode::Auto).unwrap();
        for mode in [XdpMode::Auto, XdpMode::Native, XdpMode::Generic] {
            assert_eq!(
                second.attach("right", Side::Vpc, mode),
                Err(SteerError::OtherProgram { interface: "right".into() }),
                "{mode:?}"
            );
        }
        let socket = fs::File::open("/dev/null").unwrap();
        let socket = std::os::fd::AsFd::as_fd(&socket);
        assert_eq!(
            first.register_socket("right", 2, socket),
            Err(SteerError::QueueOutOfRange { interface: "right".into(), queue: 2, queues: 2 })
        );
        assert!(matches!(first.register_socket("right", 1, socket), Err(SteerError::Kernel { .. })));
        let addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|address| address.parse().unwrap());
        assert_eq!(first.set_local_addresses(&addresses), Err(SteerError::TooManyAddresses { given: 3, room: 2 }));
    });
}

#[test]
fn addresses_set_before_and_after_attaching_both_count() {
    let Some(namespace) = Namespace::with_veth() else { return };
    address_beyond_right(&namespace);
    namespace.run(|| {
        let mut steer = Steer::load(LoadOptions { pin_dir: None, ..LoadOptions::default() }).unwrap();
        steer.set_local_addresses(&["10.9.0.9".parse().unwrap()]).unwrap();
        steer.attach("right", Side::Vpc, XdpMode::Auto).unwrap();
        assert_eq!(packets_that_reach_the_kernel(&namespace), 5);
        steer.set_local_addresses(&["10.9.0.8".parse().unwrap()]).unwrap();
        assert_eq!(packets_that_reach_the_kernel(&namespace), 0);
        let counters = steer.counters("right").unwrap();
        assert_eq!((counters[Counter::ToKernel], counters[Counter::NoSocket]), (5, 5));
    });
}

#[test]
fn a_changed_mac_is_read_anew_with_the_addresses() {
    let Some(namespace) = Namespace::with_veth() else { return };
    namespace.run(|| {
        let mut steer = Steer::load(LoadOptions { pin_dir: None, ..LoadOptions::default() }).unwrap();
        steer.attach("right", Side::Vpc, XdpMode::Auto).unwrap();
        namespace.ip(&["link", "set", "right", "address", "02:00:00:00:00:77"]);
        steer.set_local_addresses(&[]).unwrap();
        address_beyond_right(&namespace);
        assert_eq!(packets_that_reach_the_kernel(&namespace), 0);
        assert_eq!(steer.counters("right").unwrap()[Counter::NoSocket], 5);
    });
}
