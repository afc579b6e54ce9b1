//! smoltcp's network stack, its sockets as sources.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use eventpoll::sources::{Clock, Timer};
use eventpoll::{AsSource, Events, Source, SourceRef, Watched};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Loopback, Medium};
use smoltcp::socket::tcp;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

const ADDRESS: IpAddress = IpAddress::v4(127, 0, 0, 1);

/// A stack on a loopback device. It runs when it is told to, by who waits; its own timers are one more source.
pub(crate) struct Stack {
    interface: Interface,
    device: Loopback,
    sockets: SocketSet<'static>,
    /// What is watched of each socket.
    levels: Vec<(SocketHandle, Watched<Level>, Amounts)>,
    /// When the stack itself has something to do, such as sending again what was lost.
    pub(crate) timer: Timer,
    began: Instant,
}

/// The level of a socket as it was after the stack's last run. The stack is not `Sync`, so an event poll cannot ask it.
pub(crate) struct Level(AtomicU32);

/// How much a socket has received and can send: more of either is an edge, also at an unchanged level.
#[derive(Clone, Copy, Default)]
struct Amounts {
    received: usize,
    room: usize,
}

impl Source for Level {
    fn level(&self) -> Events {
        Events::from(self.0.load(Ordering::Acquire))
    }
}

/// A socket's place in the stack.
#[derive(Clone, Copy)]
pub(crate) struct Socket(usize);

fn level(socket: &tcp::Socket<'_>) -> Events {
    let mut level = Events::empty();
    level.set(Events::IN, socket.can_recv());
    level.set(Events::OUT, socket.can_send());
    // The other side has closed: what is left can be read.
    level.set(Events::RDHUP, matches!(socket.state(), tcp::State::CloseWait | tcp::State::LastAck));
    level.set(Events::HUP, !socket.is_open());
    level
}

impl Stack {
    pub(crate) fn new(clock: &Clock) -> Self {
        let mut device = Loopback::new(Medium::Ip);
        let began = Instant::now();
        let now = smoltcp::time::Instant::ZERO;
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut device, now);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(ADDRESS, 8)).expect("there is room for one address");
        });
        let sockets = SocketSet::new(Vec::new());
        Self { interface, device, sockets, levels: Vec::new(), timer: Timer::new(clock), began }
    }

    fn socket(&mut self) -> Socket {
        let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
        let handle = self.sockets.add(tcp::Socket::new(buffer(), buffer()));
        self.levels.push((handle, Watched::new(Level(AtomicU32::new(0))), Amounts::default()));
        Socket(self.levels.len() - 1)
    }

    fn tcp(&mut self, socket: Socket) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.levels[socket.0].0)
    }

    pub(crate) fn listen(&mut self, port: u16) -> Result<Socket, tcp::ListenError> {
        let socket = self.socket();
        self.tcp(socket).listen(port)?;
        Ok(socket)
    }

    pub(crate) fn connect(&mut self, port: u16) -> Result<Socket, tcp::ConnectError> {
        let socket = self.socket();
        let handle = self.levels[socket.0].0;
        let context = self.interface.context();
        self.sockets.get_mut::<tcp::Socket<'_>>(handle).connect(context, (ADDRESS, port), 50_000)?;
        self.run();
        Ok(socket)
    }

    /// What an event poll can watch.
    pub(crate) fn source(&self, socket: Socket) -> SourceRef<'_> {
        self.levels[socket.0].1.as_source()
    }

    /// Takes what was received.
    pub(crate) fn receive(&mut self, socket: Socket) -> Vec<u8> {
        let received = self.tcp(socket).recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap_or_default();
        self.run();
        received
    }

    /// Sends as much as there is room for.
    pub(crate) fn send(&mut self, socket: Socket, bytes: &[u8]) -> usize {
        let sent = self.tcp(socket).send_slice(bytes).unwrap_or(0);
        self.run();
        sent
    }

    pub(crate) fn close(&mut self, socket: Socket) {
        self.tcp(socket).close();
        self.run();
    }

    /// Lets the stack do all it has to do now, and tells the watchers of sockets what is new.
    pub(crate) fn run(&mut self) {
        let elapsed = i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX);
        let now = smoltcp::time::Instant::from_micros(elapsed);
        self.interface.poll(now, &mut self.device, &mut self.sockets);
        for (handle, watched, amounts) in &mut self.levels {
            let socket: &tcp::Socket<'_> = self.sockets.get(*handle);
            let new = level(socket);
            let old = Events::from(watched.0.swap(new.bits(), Ordering::AcqRel));
            let room = socket.send_capacity() - socket.send_queue();
            let before = std::mem::replace(amounts, Amounts { received: socket.recv_queue(), room });
            let mut edges = new - old;
            edges.set(
                Events::IN,
                new.contains(Events::IN) && (!old.contains(Events::IN) || amounts.received > before.received),
            );
            edges.set(
                Events::OUT,
                new.contains(Events::OUT) && (!old.contains(Events::OUT) || amounts.room > before.room),
            );
            if !edges.is_empty() {
                watched.notify(edges);
            }
        }
        // 0 would stop the timer; the shortest time makes it expire at once.
        let delay = self.interface.poll_delay(now, &self.sockets);
        self.timer.set(
            delay.map_or(std::time::Duration::ZERO, |delay| {
                std::time::Duration::from(delay).max(std::time::Duration::from_nanos(1))
            }),
            None,
        );
    }
}
