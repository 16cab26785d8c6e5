//! The fault proxy on real TCP connections: each trouble is met, mended, and not met without it.

#![allow(clippy::unwrap_used, missing_docs)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use springtide_rehearse::faults::proxy::{End, Proxy, Trouble, Way};
use springtide_rehearse::faults::{FaultId, Journal, takeover};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Tells what a server's connections met.
#[derive(Debug, PartialEq)]
enum Met {
    Bytes(usize),
    End,
    Reset,
}

/// A server that sends back what comes and tells what it met.
async fn server() -> (SocketAddr, mpsc::UnboundedReceiver<Met>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, met) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut piece = vec![0; 64 << 10];
                loop {
                    match stream.read(&mut piece).await {
                        Ok(0) => return tell.send(Met::End),
                        Err(_) => return tell.send(Met::Reset),
                        Ok(count) => {
                            let _ = tell.send(Met::Bytes(count));
                            if stream.write_all(&piece[..count]).await.is_err() {
                                return Ok(());
                            }
                        }
                    }
                }
            });
        }
    });
    (address, met)
}

async fn through() -> (Proxy, TcpStream, mpsc::UnboundedReceiver<Met>) {
    let (address, met) = server().await;
    let proxy = Proxy::start(End::Tcp(address)).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address().unwrap()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    // Nothing is wrong yet, and this waits until the link stands.
    assert!(ping(&mut stream).await.unwrap() < Duration::from_millis(400));
    assert_eq!(proxy.connections(), 1);
    (proxy, stream, met)
}

/// Time until a word comes back, or none within a second and a half.
async fn ping(stream: &mut TcpStream) -> Option<Duration> {
    let begun = Instant::now();
    stream.write_all(b"ping").await.ok()?;
    let mut back = [0; 4];
    timeout(Duration::from_millis(1500), stream.read_exact(&mut back)).await.ok()?.ok()?;
    (&back == b"ping").then(|| begun.elapsed())
}

#[tokio::test]
async fn delay_is_added_for_its_time_only() {
    let (proxy, mut stream, _met) = through().await;
    let late = Duration::from_millis(200);
    proxy.set(Trouble::Delay(Way::ToServer, late));
    let one = ping(&mut stream).await.unwrap();
    proxy.set(Trouble::Delay(Way::Both, late));
    let both = ping(&mut stream).await.unwrap();
    assert!(one >= late && both >= 2 * late, "{one:?} {both:?}");
    // Pieces are late, not one after the other: ten at once take as long as one.
    let begun = Instant::now();
    for _ in 0..10 {
        stream.write_all(b"ping").await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stream.read_exact(&mut [0; 40]).await.unwrap();
    assert!(begun.elapsed() < 6 * late, "{:?}", begun.elapsed());
    proxy.trouble_for(Trouble::Delay(Way::Both, late), Duration::from_millis(50)).await;
    assert_eq!(proxy.trouble(), Trouble::None);
    assert!(ping(&mut stream).await.unwrap() < late);
}

#[tokio::test]
async fn a_blackhole_passes_nothing_and_what_waited_arrives_later() {
    let (proxy, mut stream, mut met) = through().await;
    assert_eq!(met.recv().await, Some(Met::Bytes(4)));
    proxy.set(Trouble::Blackhole(Way::Both));
    assert_eq!(ping(&mut stream).await, None);
    assert!(met.try_recv().is_err(), "the server saw nothing");
    proxy.set(Trouble::None);
    let mut back = [0; 4];
    timeout(Duration::from_secs(2), stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(&back, b"ping");
    assert_eq!(met.recv().await, Some(Met::Bytes(4)));
    // One way only: the server acts, and its answer is lost. The case that makes orders double.
    proxy.set(Trouble::Blackhole(Way::ToClient));
    assert_eq!(ping(&mut stream).await, None);
    assert_eq!(met.try_recv(), Ok(Met::Bytes(4)));
    // Nobody is told of an end either, until it is mended.
    proxy.set(Trouble::Blackhole(Way::ToServer));
    drop(stream);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(met.try_recv().is_err());
    proxy.set(Trouble::None);
    assert!(matches!(timeout(Duration::from_secs(2), met.recv()).await, Ok(Some(Met::End | Met::Reset))));
}

#[tokio::test]
async fn a_reset_meets_both_ends_and_new_connections() {
    let (proxy, mut stream, mut met) = through().await;
    met.recv().await;
    proxy.set(Trouble::Reset);
    let error = timeout(Duration::from_secs(2), stream.read(&mut [0; 4])).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(timeout(Duration::from_secs(2), met.recv()).await.unwrap(), Some(Met::Reset));
    let mut new = TcpStream::connect(proxy.address().unwrap()).await.unwrap();
    assert_eq!(ping(&mut new).await, None);
    proxy.set(Trouble::None);
    let mut mended = TcpStream::connect(proxy.address().unwrap()).await.unwrap();
    assert!(ping(&mut mended).await.is_some());
    // The control: an end without trouble is an end, not a reset.
    drop(mended);
    assert_eq!(met.recv().await, Some(Met::Bytes(4)));
    assert_eq!(timeout(Duration::from_secs(2), met.recv()).await.unwrap(), Some(Met::End));
}

#[tokio::test]
async fn half_open_ends_at_the_server_and_stays_open_at_the_client() {
    let (proxy, mut stream, mut met) = through().await;
    met.recv().await;
    proxy.set(Trouble::HalfOpen);
    assert!(matches!(timeout(Duration::from_secs(2), met.recv()).await.unwrap(), Some(Met::End | Met::Reset)));
    assert_eq!(ping(&mut stream).await, None, "it can still be written to, and nothing comes");
    assert!(stream.write_all(b"still open").await.is_ok());
    proxy.set(Trouble::None);
    // Mended: the silent one is closed and a new one passes.
    assert!(matches!(timeout(Duration::from_secs(2), stream.read(&mut [0; 4])).await.unwrap(), Ok(0) | Err(_)));
    let mut new = TcpStream::connect(proxy.address().unwrap()).await.unwrap();
    assert!(ping(&mut new).await.is_some());
}

#[tokio::test]
async fn bandwidth_is_what_was_asked_for() {
    let (proxy, stream, mut met) = through().await;
    met.recv().await;
    let (mut read, mut write) = stream.into_split();
    let mut send_and_read = async |bytes: usize| {
        let begun = Instant::now();
        let (sent, got) = tokio::join!(async { write.write_all(&vec![7; bytes]).await }, async {
            read.read_exact(&mut vec![0; bytes]).await
        });
        sent.unwrap();
        got.unwrap();
        begun.elapsed().as_secs_f64()
    };
    let free = send_and_read(50_000).await;
    proxy.set(Trouble::Bandwidth(50_000));
    let tight = send_and_read(50_000).await;
    // Both directions at once, the second a little behind the first.
    assert!(tight >= 1.0, "{tight}");
    assert!(tight < 6.0 && free < tight, "{free} {tight}");
}

#[tokio::test]
async fn a_socket_is_taken_over_and_put_back() {
    let folder = tempfile::TempDir::new().unwrap();
    let journal = Journal::open(folder.path().join("undo")).unwrap();
    let path = folder.path().join("server.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    let ask = || async {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        let mut back = [0; 4];
        let asked = async {
            stream.write_all(b"ping").await?;
            stream.read_exact(&mut back).await
        };
        matches!(timeout(Duration::from_millis(500), asked).await, Ok(Ok(_)))
    };
    let long = Duration::from_secs(60);
    assert!(takeover::take(&journal, FaultId::Blackhole, folder.path(), long).is_err(), "no socket");
    let taken = takeover::take(&journal, FaultId::Blackhole, &path, long).unwrap();
    assert!(ask().await, "without trouble it passes");
    assert!(takeover::take(&journal, FaultId::Blackhole, &path, long).is_err(), "taken already");
    taken.set(Trouble::Blackhole(Way::Both));
    assert!(!ask().await);
    assert_eq!(taken.connections(), 2);
    assert!(taken.stands());
    taken.end().unwrap();
    assert!(ask().await);
    assert!(journal.records().0.is_empty());
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().map(|it| it.file_name()).collect();
    assert_eq!(left.len(), 2, "the socket and the journal: {left:?}");
}

/// Answers every connection with this letter.
fn answering(path: &std::path::Path, letter: u8) -> tokio::task::JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(&[letter]).await;
        }
    })
}

async fn asked(path: &std::path::Path) -> Option<u8> {
    let mut stream = UnixStream::connect(path).await.ok()?;
    timeout(Duration::from_millis(500), stream.read_u8()).await.ok()?.ok()
}

#[tokio::test]
async fn a_server_that_started_anew_keeps_its_socket() {
    let folder = tempfile::TempDir::new().unwrap();
    let journal = Journal::open(folder.path().join("undo")).unwrap();
    let path = folder.path().join("server.sock");
    let left = || std::fs::read_dir(folder.path()).unwrap().count();
    for by_hand in [false, true] {
        let old = answering(&path, b'o');
        let taken = takeover::take(&journal, FaultId::Delay, &path, Duration::from_secs(60)).unwrap();
        assert_eq!((asked(&path).await, taken.stands()), (Some(b'o'), true));
        // As PostgreSQL and Redis do: away with what is there, and one of its own.
        old.abort();
        std::fs::remove_file(&path).unwrap();
        let new = answering(&path, b'n');
        assert!(!taken.stands());
        // The rig itself, or somebody else after its death.
        match by_hand {
            false => taken.end().unwrap(),
            true => {
                assert_eq!(journal.undo_all().faults.len(), 1);
                drop(taken);
            }
        }
        assert_eq!(asked(&path).await, Some(b'n'), "the new server is reached");
        assert_eq!(left(), 2, "the socket and the journal");
        new.abort();
        std::fs::remove_file(&path).unwrap();
    }
    // A server that ended and took the proxy's socket with it: its own is back, for it to find.
    let _old = answering(&path, b'o');
    let taken = takeover::take(&journal, FaultId::Delay, &path, Duration::from_secs(60)).unwrap();
    std::fs::remove_file(&path).unwrap();
    taken.end().unwrap();
    assert_eq!((asked(&path).await, left()), (Some(b'o'), 2));
}
