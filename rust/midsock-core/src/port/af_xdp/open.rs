//! Opening ports: from what is wanted to what the interface and the kernel can do.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::queue::{Queue, Shape};
use super::settings::{Attach, Mode, Settings};
use super::{AfXdpPort, Frames, MOST_PARTS, program};
use crate::port::interface::Interface;
use crate::port::options::Options;
use crate::port::sys::mapping::Mapping;
use crate::port::sys::xdp::{self, Binding, Rings, Socket};
use crate::port::sys::{bpf, xdp_interface};
use crate::port::{BURST, LinkType, PortError, PortStatistics};

/// Bytes that the kernel keeps free before each packet, for XDP programs to put headers there.
const HEADROOM: u32 = 256;
/// Bytes of a frame that the MTU does not count: an Ethernet header and two VLAN tags.
const LINK_HEADERS: u32 = 22;

// linux/if_link.h
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// Bytes of sent packets that may be on their way within the kernel.
const SEND_BUFFER: i32 = 8 << 20;

/// What the names of these ports start with.
pub(in crate::port) const PREFIX: &str = "af_xdp:";

/// How long the kernel may take to part with what a port that was closed had: it does so when it finds the time.
const PARTING: Duration = Duration::from_secs(1);

/// How many bursts are looked into for checksums that another interface of this machine left out.
const DOUBTS: u32 = 4096;

/// Opens an interface's queues, all or one: `af_xdp:INTERFACE` or `af_xdp:INTERFACE?OPTIONS`.
///
/// | option | |
/// |---|---|
/// | `queue=N` | only this queue, from 0 on; what others receive passes to the kernel |
/// | `mode=auto` | let the driver use this process's memory if it can, else have the kernel copy |
/// | `mode=copy`, `mode=zerocopy` | only that |
/// | `attach=auto` | attach the program in the driver if it can, else behind it |
/// | `attach=native`, `attach=generic` | only that |
/// | `frame=2048`, `frame=4096` | bytes of a frame; by default the smaller that holds the interface's packets |
/// | `frames=N` | frames for each queue, from 1,024 to 1,048,576; 4,096 if not given |
/// | `promisc=0` | receive only what is for the interface's own addresses |
/// | `offloads=keep` | join a veth to another port although its checksum offload is on; see [`open_pair`] |
///
/// # Errors
///
/// The message says what to do: rights are missing, there is no such interface or queue, another program has it, or its
/// MTU is too large.
pub fn open(name: &str) -> Result<AfXdpPort, PortError> {
    let mut ports = open_group(&[Plan::new(name)?])?;
    Ok(ports.swap_remove(0))
}

/// Opens an interface, as [`open`] does, whose packets a port of another kind is to send on.
///
/// # Errors
///
/// Those of [`open_pair`].
pub fn open_beside(name: &str) -> Result<AfXdpPort, PortError> {
    let mut ports = open_group(&[Plan::joined(name)?])?;
    Ok(ports.swap_remove(0))
}

/// Opens two ports that share their memory: frames are forwarded between them without a copy.
///
/// # Errors
///
/// Those of [`open`], and an interface is a veth with checksum offload: an AF_XDP socket is not told which checksums are
/// unfinished, so that packets would be sent on with wrong ones. `offloads=keep` opens it all the same, for a veth the
/// other end of which has its offload off.
pub fn open_pair(first: &str, second: &str) -> Result<[AfXdpPort; 2], PortError> {
    let mut ports = open_group(&[Plan::joined(first)?, Plan::joined(second)?])?;
    let second = ports.swap_remove(1);
    Ok([ports.swap_remove(0), second])
}

/// What is to be opened.
#[derive(Debug)]
struct Plan {
    /// The port's name.
    name: String,
    settings: Settings,
    interface: String,
    index: u32,
    mtu: u32,
    queues: Vec<u32>,
    /// How many of the queues can send.
    senders: usize,
}

impl Plan {
    /// To receive from the interface, and to send what is made here.
    fn new(name: &str) -> Result<Plan, PortError> {
        Self::find(name).map(|(plan, _)| plan)
    }

    /// To have another port send what the interface receives.
    fn joined(name: &str) -> Result<Plan, PortError> {
        let (plan, found) = Self::find(name)?;
        if !plan.settings.keep_offloads {
            found.refuse_unfinished(name, false)?;
        }
        Ok(plan)
    }

    fn find(name: &str) -> Result<(Plan, Interface), PortError> {
        let (base, options) = Options::split(name)?;
        let settings = Settings::take(options)?;
        let interface = base.strip_prefix(PREFIX).unwrap_or(base);
        let failed = |kind, reason| PortError::Live { name: name.to_owned(), kind, reason };
        let found = Interface::named(interface).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                failed(error.kind(), format!("no interface {interface}; there are: {}", Interface::names()))
            }
            _ => live(name, &error, "asking for the interface"),
        })?;
        if found.link() != Some(LinkType::Ethernet) {
            let reason = format!("{interface} is no Ethernet interface; af_packet:{interface} takes any");
            return Err(failed(ErrorKind::Unsupported, reason));
        }
        if !found.is_up {
            let reason = format!("{interface} is down; switch it on with: ip link set {interface} up");
            return Err(failed(ErrorKind::NetworkDown, reason));
        }
        let receivers = found.queues.unwrap_or(1);
        let queues: Vec<u32> = match settings.queue {
            None => (0..receivers).collect(),
            Some(queue) if queue < receivers => vec![queue],
            Some(queue) => {
                let reason = format!("there is no queue {queue}: {interface} has 0 to {}", receivers - 1);
                return Err(failed(ErrorKind::NotFound, reason));
            }
        };
        let can_send = found.send_queues.unwrap_or(1);
        let plan = Plan {
            name: name.to_owned(),
            settings,
            interface: interface.to_owned(),
            index: found.index,
            mtu: found.mtu,
            senders: queues.iter().filter(|queue| **queue < can_send).count(),
            queues,
        };
        Ok((plan, found))
    }

    /// The longest packet that the interface receives.
    fn longest(&self) -> u32 {
        self.mtu.saturating_add(LINK_HEADERS)
    }

    fn frames(&self) -> u32 {
        self.settings.frames.saturating_mul(self.queues.len() as u32)
    }

    fn failed(&self, error: &io::Error, doing: &str) -> PortError {
        live(&self.name, error, doing)
    }
}

/// Why one way to open the ports failed.
enum Refusal {
    /// Another way may do.
    Unsupported(PortError),
    Final(PortError),
}

fn open_group(plans: &[Plan]) -> Result<Vec<AfXdpPort>, PortError> {
    let longest = plans.iter().map(Plan::longest).max().unwrap_or(0);
    let size = match plans.iter().filter_map(|plan| plan.settings.frame).max() {
        Some(size) => size,
        None if longest <= 2048 - HEADROOM => 2048,
        None => 4096,
    };
    let count = plans.iter().fold(0u32, |sum, plan| sum.saturating_add(plan.frames()));
    let shape = Shape { shift: size.ilog2(), count };
    let fits = longest <= size - HEADROOM;
    let memory = || -> io::Result<Memory> {
        let umem = xdp::shared_memory(shape.length())?;
        let behind = BURST * MOST_PARTS as usize * shape.frame_size();
        let mappings = plans.iter().map(|_| {
            let mut mapping = Mapping::anonymous(shape.length() + behind)?;
            mapping.put_shared(0, umem.as_fd(), 0, shape.length())?;
            Ok(mapping)
        });
        Ok(Memory { mappings: mappings.collect::<io::Result<_>>()?, umem: Arc::new(umem) })
    };
    let mut refusal = None;
    for way in ways(plans, fits) {
        let memory = memory().map_err(|error| plans[0].failed(&error, "no memory for frames"))?;
        match open_so(plans, shape, way, memory) {
            Ok(ports) => return Ok(ports),
            Err(Refusal::Final(error)) => return Err(error),
            Err(Refusal::Unsupported(error)) => refusal = Some(error),
        }
    }
    Err(match refusal {
        Some(error) if fits => error,
        _ => {
            let widest = plans.iter().max_by_key(|plan| plan.mtu).unwrap_or(&plans[0]);
            let most = size - HEADROOM - LINK_HEADERS;
            PortError::Live {
                name: widest.name.clone(),
                kind: ErrorKind::Unsupported,
                reason: format!(
                    "packets of an MTU of {} do not fit into frames of {size} bytes, and the kernel or the driver \
                     cannot spread them over several; set it to {most} or less: ip link set dev {} mtu {most}",
                    widest.mtu, widest.interface
                ),
            }
        }
    })
}

/// The memory of ports that are opened together: each has a mapping of its own.
struct Memory {
    umem: Arc<OwnedFd>,
    mappings: Vec<Mapping>,
}

/// One way to bind the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    zero_copy: bool,
    /// Packets may fill several frames.
    spreads: bool,
}

impl Way {
    fn flags(self) -> u16 {
        let copy = if self.zero_copy { libc::XDP_ZEROCOPY } else { libc::XDP_COPY };
        let spread = if self.spreads { libc::XDP_USE_SG } else { 0 };
        copy | spread | libc::XDP_USE_NEED_WAKEUP
    }
}

/// The ways to try, the best first. `fits` says that each of the interfaces' packets fits into one frame.
fn ways(plans: &[Plan], fits: bool) -> Vec<Way> {
    let is = |mode| plans.iter().any(|plan| plan.settings.mode == mode);
    let generic = plans.iter().any(|plan| plan.settings.attach == Attach::Generic);
    let mut ways = Vec::new();
    if !is(Mode::Copy) && !generic || is(Mode::ZeroCopy) {
        // A driver may be able to do without a copy, but not to spread packets.
        ways.push(Way { zero_copy: true, spreads: !fits });
    }
    if !is(Mode::ZeroCopy) {
        // Even if all packets should fit: the MTU can grow, and senders may merge packets.
        ways.push(Way { zero_copy: false, spreads: true });
        if fits {
            // Linux before 6.6.
            ways.push(Way { zero_copy: false, spreads: false });
        }
    }
    ways
}

fn open_so(plans: &[Plan], shape: Shape, way: Way, memory: Memory) -> Result<Vec<AfXdpPort>, Refusal> {
    let mut ports: Vec<AfXdpPort> = Vec::new();
    let mut first_frame = 0;
    for (plan, mapping) in plans.iter().zip(memory.mappings) {
        let own = first_frame..first_frame + plan.frames();
        first_frame = own.end;
        let mut frames = Frames::new(shape.count, own);
        let mut queues: Vec<Queue> = Vec::new();
        let first = ports.first().map(|port| port.queues[0].socket.number());
        for queue in &plan.queues {
            let shared = first.or_else(|| queues.first().map(|queue: &Queue| queue.socket.number()));
            let mut queue = open_queue(plan, *queue, shape, way, &mapping, shared)?;
            queue.fill(&mut frames, shape);
            queues.push(queue);
        }
        ports.push(AfXdpPort {
            name: plan.name.clone(),
            attached: Vec::new(),
            any_queue: None,
            queues,
            memory: mapping,
            umem: Arc::clone(&memory.umem),
            shape,
            frames,
            held: Vec::with_capacity(BURST),
            next_queue: 0,
            senders: plan.senders,
            most_parts: if way.spreads { MOST_PARTS } else { 1 },
            statistics: PortStatistics::default(),
            is_idle: false,
            is_gone: false,
            warning: None,
            interface: plan.interface.clone(),
            doubts: DOUBTS,
        });
    }
    // Packets come from here on.
    for (plan, port) in plans.iter().zip(&mut ports) {
        attach(plan, way, port)?;
    }
    Ok(ports)
}

/// Opens the socket of a queue; `shared` is the socket whose memory it uses, if it is not the first.
fn open_queue(
    plan: &Plan,
    queue: u32,
    shape: Shape,
    way: Way,
    memory: &Mapping,
    shared: Option<libc::c_int>,
) -> Result<Queue, Refusal> {
    let refused = |error: io::Error, doing: &str| Refusal::Final(plan.failed(&error, doing));
    let socket = Socket::new().map_err(|error| match error.raw_os_error() {
        Some(libc::EAFNOSUPPORT) => refused(error, "this kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS)"),
        _ => refused(error, "AF_XDP socket"),
    })?;
    if shared.is_none() {
        let registered = socket.register(memory, shape.length(), 1 << shape.shift);
        registered.map_err(|error| match error.raw_os_error() {
            Some(libc::ENOBUFS) => refused(
                error,
                "the limit of locked memory is too small for the frames: raise it (ulimit -l unlimited), run with \
                 CAP_IPC_LOCK, or open fewer (frames=N)",
            ),
            _ => refused(error, "registering the frames"),
        })?;
    }
    // The fill and the transmit ring hold a half of the frames each.
    let depth = 1 << (plan.settings.frames / 2).ilog2();
    let rings: Rings = socket.rings(depth).map_err(|error| refused(error, "rings"))?;
    // The port works with the system's default, too.
    let _ = socket.set_send_buffer(SEND_BUFFER);
    let binding = shared.map_or(Binding::Own(way.flags()), Binding::Shared);
    patiently(|| socket.bind(plan.index, queue, binding)).map_err(|error| match error.raw_os_error() {
        Some(libc::EBUSY) => {
            let doing =
                format!("queue {queue} already belongs to an AF_XDP socket, of this or another program");
            refused(error, &doing)
        }
        Some(libc::EOPNOTSUPP | libc::EINVAL | libc::EPROTONOSUPPORT) => {
            let mode = if way.zero_copy { "without a copy" } else { "with copies" };
            let doing = format!("the kernel or the driver cannot use frames {mode}");
            Refusal::Unsupported(plan.failed(&error, &doing))
        }
        _ => refused(error, "binding the socket"),
    })?;
    Ok(Queue::new(socket, rings, depth))
}

/// Has the interface's packets redirected to the port's sockets.
fn attach(plan: &Plan, way: Way, port: &mut AfXdpPort) -> Result<(), Refusal> {
    let refused = |error: io::Error, doing: &str| Refusal::Final(plan.failed(&error, doing));
    let entries = plan.queues.iter().max().map_or(1, |last| last + 1);
    let map = bpf::create_socket_map(entries).map_err(|error| refused(error, "BPF map"))?;
    for (number, queue) in plan.queues.iter().zip(&port.queues) {
        bpf::put_socket(map.as_fd(), *number, queue.socket.as_fd())
            .map_err(|error| refused(error, "BPF map"))?;
    }
    let instructions = program::redirect(map.as_raw_fd());
    let program = match bpf::load_xdp(&instructions, true) {
        // Linux before 5.18 knows of no packets in fragments.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => bpf::load_xdp(&instructions, false),
        result => result,
    };
    let program = program.map_err(|error| refused(error, "XDP program"))?;
    let link = |flags| patiently(|| bpf::link_xdp(program.as_fd(), plan.index, flags));
    let taken = |error: &io::Error| matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST));
    let explain = |error: io::Error| {
        if taken(&error) {
            let interface = &plan.interface;
            let doing = format!(
                "another XDP program is attached to {interface}: end the program that uses it, or take it off: \
                 ip link set dev {interface} xdp off"
            );
            refused(error, &doing)
        } else {
            refused(error, "attaching the XDP program")
        }
    };
    let link = match plan.settings.attach {
        Attach::Generic => link(XDP_FLAGS_SKB_MODE).map_err(explain)?,
        Attach::Native => link(XDP_FLAGS_DRV_MODE).map_err(|error| match driver_reason(&error) {
            Some(reason) => refused(error, reason),
            None => explain(error),
        })?,
        Attach::Auto => match link(XDP_FLAGS_DRV_MODE) {
            Ok(link) => link,
            Err(error) if taken(&error) || !may_do_without_driver(&error) => return Err(explain(error)),
            Err(error) => {
                let reason = driver_reason(&error).map_or_else(|| error.to_string(), str::to_owned);
                if way.zero_copy {
                    // Only the driver can do without a copy.
                    return Err(Refusal::Unsupported(plan.failed(&error, &reason)));
                }
                let link = link(XDP_FLAGS_SKB_MODE).map_err(explain)?;
                port.warning = Some(format!(
                    "{}: XDP runs behind the driver (generic mode), which is slower: {reason}",
                    plan.name
                ));
                link
            }
        },
    };
    port.attached = vec![link, program, map];
    if plan.queues.len() > 1 {
        let sockets: Vec<_> = port.queues.iter().map(|queue| &queue.socket).collect();
        port.any_queue = Some(xdp::any_of(&sockets).map_err(|error| refused(error, "epoll"))?);
    }
    if plan.settings.promiscuous {
        let promiscuous = xdp_interface::promiscuous(plan.index);
        port.attached.push(promiscuous.map_err(|error| refused(error, "promiscuous mode"))?);
    }
    Ok(())
}

/// Does what fails while the kernel has not parted with a closed port's socket or program, until it succeeds.
fn patiently<T>(mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut deadline = None;
    loop {
        match act() {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                let time = Instant::now();
                if time >= *deadline.get_or_insert(time + PARTING) {
                    return Err(error);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}

/// Whether the kernel may attach behind the driver what it did not attach in it.
fn may_do_without_driver(error: &io::Error) -> bool {
    !matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::ENODEV))
}

/// What drivers mean by their errors.
fn driver_reason(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error()? {
        libc::EOPNOTSUPP => Some("its driver has no XDP"),
        libc::ERANGE => {
            Some("its MTU, or that of the other end of the veth, is too large for its driver's XDP")
        }
        libc::ENOSPC => Some("the other end of the veth sends with more queues than it receives with"),
        _ => None,
    }
}

fn live(name: &str, error: &io::Error, doing: &str) -> PortError {
    let rights = matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES));
    let reason = if rights {
        format!("{doing}: not permitted; run as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF")
    } else {
        format!("{doing} ({error})")
    };
    PortError::Live { name: name.to_owned(), kind: error.kind(), reason }
}
