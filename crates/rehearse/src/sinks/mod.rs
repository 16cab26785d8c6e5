//! Stand-ins for the partners outside: carrier, marketplace, EDI partner, SMTP, payment, webhook receiver.
//!
//! [`Sinks::start`] opens each on a loopback port that the operating system gives. Every call is counted
//! in [`counts`], by sink, method, path and idempotency key, so that an effect that happened twice
//! outside is seen even if Odoo knows of one. How a sink behaves is a [`mode`] that can be switched while
//! it runs, in code or over [`control`]'s port. [`http`] and [`smtp`] are the two protocols.
//!
//! Rule: a call is counted before it is answered, in every mode, and a sink says of itself only what it
//! counted. Bodies, keys, connections and the number of distinct keys are bounded: what does not fit is
//! refused or counted as such, never dropped in silence.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

mod control;
pub mod counts;
mod http;
pub mod mode;
mod smtp;

use counts::{Book, Counts};
use mode::Mode;

/// Largest body or message that a sink reads, in bytes.
pub const BODY_LIMIT: usize = 1 << 20;
/// Connections that a sink serves at once; more wait.
pub const CONNECTIONS: usize = 512;

/// One kind of partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sink {
    /// Makes labels and tracking numbers.
    Carrier,
    /// Takes stock levels and order states.
    Marketplace,
    /// Takes EDI messages.
    Edi,
    /// Takes mail.
    Smtp,
    /// Takes payments.
    Payment,
    /// Takes whatever is sent to a webhook.
    Webhook,
}

impl Sink {
    /// All of them.
    pub const ALL: [Sink; 6] = [Sink::Carrier, Sink::Marketplace, Sink::Edi, Sink::Smtp, Sink::Payment, Sink::Webhook];

    /// The name in JSON, on the control port and the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Sink::Carrier => "carrier",
            Sink::Marketplace => "marketplace",
            Sink::Edi => "edi",
            Sink::Smtp => "smtp",
            Sink::Payment => "payment",
            Sink::Webhook => "webhook",
        }
    }
}

impl std::fmt::Display for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is no sink.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no sink {0:?}; there are carrier, marketplace, edi, smtp, payment and webhook")]
pub struct SinkError(String);

impl std::str::FromStr for Sink {
    type Err = SinkError;
    fn from_str(text: &str) -> Result<Self, SinkError> {
        let found = Sink::ALL.into_iter().find(|sink| sink.as_str() == text);
        found.ok_or_else(|| SinkError(text.chars().take(80).collect()))
    }
}

/// A sink could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("the {sink} sink cannot listen on a loopback port")]
pub struct StartError {
    /// Which one; `control` is the port of counts and modes.
    pub sink: &'static str,
    /// The system's word.
    #[source]
    pub source: std::io::Error,
}

/// What a sink's tasks share.
#[derive(Clone)]
struct Desk {
    sink: Sink,
    book: Arc<Book>,
    mode: watch::Receiver<Mode>,
}

/// All sinks, running. They stop when this is dropped.
pub struct Sinks {
    addresses: BTreeMap<Sink, SocketAddr>,
    control: SocketAddr,
    board: Arc<Board>,
    tasks: JoinSet<()>,
}

/// Modes and counts, as the control port and [`Sinks`] see them.
struct Board {
    book: Arc<Book>,
    modes: BTreeMap<Sink, watch::Sender<Mode>>,
}

impl Board {
    fn set(&self, sink: Sink, mode: Mode) {
        // Every sink got its channel in `start`.
        if let Some(sender) = self.modes.get(&sink) {
            sender.send_replace(mode);
        }
    }

    fn modes(&self) -> BTreeMap<Sink, Mode> {
        self.modes.iter().map(|(sink, sender)| (*sink, sender.borrow().clone())).collect()
    }
}

impl Sinks {
    /// Opens every sink and the control port on 127.0.0.1.
    ///
    /// # Errors
    /// A port that cannot be had. Nothing stays open then.
    pub async fn start() -> Result<Sinks, StartError> {
        let book = Arc::new(Book::default());
        let mut addresses = BTreeMap::new();
        let mut modes = BTreeMap::new();
        let mut tasks = JoinSet::new();
        for sink in Sink::ALL {
            let (listener, address) = listen(sink.as_str()).await?;
            let (sender, mode) = watch::channel(Mode::default());
            let desk = Desk { sink, book: book.clone(), mode };
            match sink {
                Sink::Smtp => tasks.spawn(smtp::serve(listener, desk)),
                _ => tasks.spawn(http::serve(listener, desk)),
            };
            addresses.insert(sink, address);
            modes.insert(sink, sender);
        }
        let board = Arc::new(Board { book, modes });
        let (listener, control) = listen("control").await?;
        tasks.spawn(control::serve(listener, board.clone()));
        Ok(Sinks { addresses, control, board, tasks })
    }

    /// Where a sink listens.
    pub fn address(&self, sink: Sink) -> SocketAddr {
        self.addresses[&sink]
    }

    /// Where all of them listen.
    pub fn addresses(&self) -> &BTreeMap<Sink, SocketAddr> {
        &self.addresses
    }

    /// The port of `GET /counts`, `GET /modes` and `PUT /modes/SINK`.
    pub fn control(&self) -> SocketAddr {
        self.control
    }

    /// Switches how a sink behaves, from the next call on; calls that are stalled are let go.
    pub fn set(&self, sink: Sink, mode: Mode) {
        self.board.set(sink, mode);
    }

    /// How each behaves now.
    pub fn modes(&self) -> BTreeMap<Sink, Mode> {
        self.board.modes()
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.board.book.counts()
    }

    /// Whether every listener is still at work.
    pub fn alive(&self) -> bool {
        self.tasks.len() == Sink::ALL.len() + 1
    }
}

async fn listen(sink: &'static str) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bound.await.map_err(|source| StartError { sink, source })
}
