//! A proxy between two ends that breaks the connection as asked: delay, blackhole, reset, half-open,
//! bandwidth.
//!
//! It listens on a loopback port of its own, or in place of a Unix socket ([`super::takeover`]). Clients
//! that are to meet the fault connect to it. Nothing redirects a connection behind a program's back: what
//! does not go through the proxy does not meet the fault.
//!
//! A blackhole holds what was sent and passes it on when it is mended, as a network does that sends again;
//! what was closed meanwhile is told then as well. New connections are accepted by the proxy, so a client
//! meets silence and not a connect that hangs.
//!
//! Rule: the trouble of a connection is the trouble of now: it is looked at for every piece, so switching
//! acts on what is open.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::FaultError;

/// Largest piece that is passed at once, in bytes.
const PIECE: usize = 16 << 10;
/// Pieces that wait in each direction before the sender is held back.
const WAITING: usize = 256;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Both.
    Both,
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl Way {
    fn has(self, way: Way) -> bool {
        self == Way::Both || self == way
    }
}

/// What is wrong with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// Every piece arrives this much later.
    Delay(Way, Duration),
    /// Nothing arrives.
    Blackhole(Way),
    /// Connections are reset (of a Unix socket: closed).
    Reset,
    /// The server's end is closed; the client's stays open and silent.
    HalfOpen,
    /// So many bytes per second in each direction. Never 0.
    Bandwidth(u64),
}

/// Where the server is.
#[derive(Debug, Clone)]
pub enum End {
    /// An address.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A proxy that runs. It stops, and closes what goes through it, when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: Option<SocketAddr>,
    trouble: watch::Sender<Trouble>,
    connections: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a loopback port of the system's choice, before `server`.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(server: End) -> Result<Proxy, FaultError> {
        let refuse = |why: std::io::Error| FaultError::place("listen on a loopback port", why);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(refuse)?;
        let address = listener.local_addr().map_err(refuse)?;
        Ok(Proxy::serve(Listener::Tcp(listener), Some(address), server))
    }

    pub(super) fn serve(listener: Listener, address: Option<SocketAddr>, server: End) -> Proxy {
        let (trouble, watched) = watch::channel(Trouble::None);
        let connections = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server, watched, connections.clone()));
        Proxy { address, trouble, connections, _tasks: tasks }
    }

    /// Where it listens, if that is a port.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Switches the trouble, for open and for new connections.
    pub fn set(&self, trouble: Trouble) {
        self.trouble.send_replace(trouble);
    }

    /// The trouble of now.
    pub fn trouble(&self) -> Trouble {
        *self.trouble.borrow()
    }

    /// Connections that came in so far: 0 means that nothing went through the proxy and no fault was met.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Puts trouble in for a time and mends it then, also when the future is dropped half way.
    pub async fn trouble_for(&self, trouble: Trouble, duration: Duration) {
        struct Mend<'a>(&'a Proxy);
        impl Drop for Mend<'_> {
            fn drop(&mut self) {
                self.0.set(Trouble::None);
            }
        }
        let _mend = Mend(self);
        self.set(trouble);
        tokio::time::sleep(duration).await;
    }
}

async fn accept(listener: Listener, server: End, trouble: watch::Receiver<Trouble>, count: Arc<AtomicU64>) {
    let mut links = JoinSet::new();
    loop {
        while links.try_join_next().is_some() {}
        let client = match &listener {
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| Socket::Tcp(stream)),
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| Socket::Unix(stream)),
        };
        let Ok(client) = client else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        count.fetch_add(1, Ordering::Relaxed);
        links.spawn(link(client, server.clone(), trouble.clone()));
    }
}

/// One connection through the proxy, until it ends.
async fn link(client: Socket, server: End, mut trouble: watch::Receiver<Trouble>) {
    let client = Arc::new(client);
    client.prompt();
    let now = *trouble.borrow();
    match now {
        Trouble::Reset => return client.reset_on_close(),
        Trouble::HalfOpen => return silence(&client, &mut trouble).await,
        _ => {}
    }
    // A server that cannot be reached: the client sees its connection close.
    let Ok(server) = Socket::connect(&server).await else { return };
    let server = Arc::new(server);
    server.prompt();
    let mut pumps = JoinSet::new();
    pumps.spawn(pump(client.clone(), server.clone(), Way::ToServer, trouble.clone()));
    pumps.spawn(pump(server.clone(), client.clone(), Way::ToClient, trouble.clone()));
    let cut = trouble.wait_for(|now| matches!(now, Trouble::Reset | Trouble::HalfOpen));
    let what = tokio::select! {
        cut = cut => cut.map(|now| *now).unwrap_or(Trouble::None),
        () = async { while pumps.join_next().await.is_some() {} } => return,
    };
    pumps.shutdown().await;
    match what {
        Trouble::Reset => {
            client.reset_on_close();
            server.reset_on_close();
        }
        Trouble::HalfOpen => {
            drop(server);
            silence(&client, &mut trouble).await;
        }
        _ => {}
    }
}

/// Keeps a connection open, reads what comes and says nothing, until the trouble is another.
async fn silence(client: &Socket, trouble: &mut watch::Receiver<Trouble>) {
    let swallow = async {
        let mut piece = vec![0; PIECE];
        while client.read(&mut piece).await.is_ok_and(|count| count > 0) {}
        // The client closed; nobody is there to tell it anything.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = trouble.wait_for(|now| *now != Trouble::HalfOpen) => {}
        () = swallow => {}
    }
}

/// Passes one direction on, piece by piece, and its end.
async fn pump(from: Arc<Socket>, to: Arc<Socket>, way: Way, trouble: watch::Receiver<Trouble>) {
    let (send, receive) = mpsc::channel(WAITING);
    let reading = async {
        let mut piece = vec![0; PIECE];
        while let Ok(count) = from.read(&mut piece).await {
            if count == 0 || send.send((Instant::now(), piece[..count].to_vec())).await.is_err() {
                break;
            }
        }
        drop(send);
    };
    tokio::join!(reading, deliver(receive, &to, way, trouble));
}

async fn deliver(
    mut pieces: mpsc::Receiver<(Instant, Vec<u8>)>,
    to: &Socket,
    way: Way,
    mut trouble: watch::Receiver<Trouble>,
) {
    while let Some((came, piece)) = pieces.recv().await {
        if !due(came, &mut trouble, way).await || write(to, &piece, way, &mut trouble).await.is_err() {
            return;
        }
    }
    // The end of a stream is news as well, and takes the same way.
    if due(Instant::now(), &mut trouble, way).await {
        to.finish();
    }
}

/// Waits until something that came at `came` may arrive; false when the proxy ends.
async fn due(came: Instant, trouble: &mut watch::Receiver<Trouble>, way: Way) -> bool {
    loop {
        let now = *trouble.borrow_and_update();
        match now {
            Trouble::Blackhole(lost) if lost.has(way) => {
                if trouble.changed().await.is_err() {
                    return false;
                }
            }
            Trouble::Delay(late, time) if late.has(way) && came.elapsed() < time => {
                tokio::select! {
                    () = tokio::time::sleep_until(came + time) => {}
                    changed = trouble.changed() => if changed.is_err() { return false },
                }
            }
            _ => return true,
        }
    }
}

/// Writes a piece, in parts of a fiftieth of a second where bytes are few.
async fn write(to: &Socket, mut piece: &[u8], way: Way, trouble: &mut watch::Receiver<Trouble>) -> std::io::Result<()> {
    let came = Instant::now();
    let mut parts = 0;
    while !piece.is_empty() {
        // A blackhole may have begun between two parts; the piece as a whole has waited for its delay.
        if parts > 0 && matches!(*trouble.borrow(), Trouble::Blackhole(_)) && !due(came, trouble, way).await {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        parts += 1;
        let now = *trouble.borrow();
        let part = match now {
            Trouble::Bandwidth(rate) => {
                let part = usize::try_from(rate / 50).unwrap_or(PIECE).clamp(1, piece.len());
                tokio::time::sleep(Duration::from_secs_f64(part as f64 / rate.max(1) as f64)).await;
                part
            }
            _ => piece.len(),
        };
        to.write_all(&piece[..part]).await?;
        piece = &piece[part..];
    }
    Ok(())
}

/// A stream of either kind, shared by both directions.
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    async fn connect(end: &End) -> std::io::Result<Socket> {
        match end {
            End::Tcp(address) => TcpStream::connect(address).await.map(Socket::Tcp),
            End::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
        }
    }

    /// The proxy adds no delay of its own.
    fn prompt(&self) {
        if let Socket::Tcp(stream) = self {
            let _ = stream.set_nodelay(true);
        }
    }

    fn reset_on_close(&self) {
        if let Socket::Tcp(stream) = self {
            let _ = stream.set_zero_linger();
        }
    }

    /// Nothing more will be written.
    fn finish(&self) {
        use std::os::fd::AsRawFd as _;
        let raw = match self {
            Socket::Tcp(stream) => stream.as_raw_fd(),
            Socket::Unix(stream) => stream.as_raw_fd(),
        };
        // Fails if the other end is gone, and then nobody is to be told.
        let _ = nix::sys::socket::shutdown(raw, nix::sys::socket::Shutdown::Write);
    }

    async fn read(&self, piece: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let read = match self {
                Socket::Tcp(stream) => {
                    stream.ready(Interest::READABLE).await?;
                    stream.try_read(piece)
                }
                Socket::Unix(stream) => {
                    stream.ready(Interest::READABLE).await?;
                    stream.try_read(piece)
                }
            };
            match read {
                Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }

    async fn write_all(&self, mut piece: &[u8]) -> std::io::Result<()> {
        while !piece.is_empty() {
            let written = match self {
                Socket::Tcp(stream) => {
                    stream.ready(Interest::WRITABLE).await?;
                    stream.try_write(piece)
                }
                Socket::Unix(stream) => {
                    stream.ready(Interest::WRITABLE).await?;
                    stream.try_write(piece)
                }
            };
            match written {
                Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Ok(count) => piece = &piece[count..],
                Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(why) => return Err(why),
            }
        }
        Ok(())
    }
}
