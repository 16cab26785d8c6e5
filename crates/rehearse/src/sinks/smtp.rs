//! The mail partner: as much SMTP as clients need to hand over a message.
//!
//! EHLO, HELO, MAIL, RCPT, DATA, RSET, NOOP, QUIT. The message's `Message-ID` is its idempotency key. A
//! message is one call, counted when its last line was read.
//!
//! Rule: nothing is ever sent on, and lines, recipients and messages are bounded.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::http::word;
use super::mode::Behaviour;
use super::{BODY_LIMIT, CONNECTIONS, Desk};

/// Longest line, in bytes, with its end; RFC 5321 asks for 1000 of text.
const LINE: u64 = 2048;
/// Most recipients of a message.
const RECIPIENTS: usize = 100;
/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves mail until the task is dropped.
pub(super) async fn serve(listener: TcpListener, desk: Desk) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let desk = desk.clone();
        connections.spawn(async move {
            let _place = place;
            // A client that goes away in the middle has handed over nothing, so nothing is counted.
            let _ = talk(stream, desk).await;
        });
    }
}

/// What a client said so far of one message.
#[derive(Default)]
struct Envelope {
    from: bool,
    domains: Vec<String>,
}

async fn talk(stream: TcpStream, mut desk: Desk) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut envelope = Envelope::default();
    say(&mut stream, "220 springtide sink, nothing is delivered").await?;
    loop {
        let Some(line) = line(&mut stream).await? else { return Ok(()) };
        if !line.ends_with(b"\n") {
            return say(&mut stream, "500 line too long").await;
        }
        let text = String::from_utf8_lossy(&line);
        let verb = text.trim_end().split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" => "250-springtide\r\n250-8BITMIME\r\n250 SIZE 1048576",
            "HELO" | "NOOP" => "250 ok",
            "RSET" => {
                envelope = Envelope::default();
                "250 ok"
            }
            "MAIL" => {
                envelope = Envelope { from: true, domains: Vec::new() };
                "250 ok"
            }
            "RCPT" if !envelope.from => "503 MAIL first",
            "RCPT" if envelope.domains.len() >= RECIPIENTS => "452 too many recipients",
            "RCPT" => {
                envelope.domains.push(domain(&text));
                "250 ok"
            }
            "DATA" if envelope.domains.is_empty() => "503 RCPT first",
            "DATA" => {
                say(&mut stream, "354 end with a line of one dot").await?;
                let Some((bytes, key)) = message(&mut stream).await? else { return Ok(()) };
                let envelope = std::mem::take(&mut envelope);
                match judge(&mut desk, &envelope.domains[0], bytes, key.as_deref()).await {
                    Some(answer) => answer,
                    None => return Ok(()),
                }
            }
            "QUIT" => {
                say(&mut stream, "221 bye").await?;
                return Ok(());
            }
            _ => "502 not here",
        };
        say(&mut stream, answer).await?;
    }
}

/// Counts a message that was read to its end and says the answer, or none to close.
async fn judge(desk: &mut Desk, domain: &str, bytes: usize, key: Option<&str>) -> Option<&'static str> {
    let number = desk.book.call(desk.sink, "DATA", domain, key);
    if bytes > BODY_LIMIT {
        desk.book.outcome(desk.sink, "refused");
        return Some("552 message too large");
    }
    let behaviour = desk.mode.borrow_and_update().of(number);
    desk.book.outcome(desk.sink, word(behaviour));
    match behaviour {
        Behaviour::Ok => {}
        Behaviour::Fail(_) => return Some("451 this sink fails, as asked"),
        Behaviour::Throttle(_) => return Some("450 too many messages, as asked"),
        Behaviour::Drop => return None,
        Behaviour::Stall(time) => {
            let _ = tokio::time::timeout(time, desk.mode.changed()).await;
        }
        Behaviour::LoseAnswer => {
            desk.book.effect(desk.sink, key);
            return None;
        }
    }
    desk.book.effect(desk.sink, key);
    Some("250 ok, counted")
}

/// Reads a message to its dot: its bytes, and its `Message-ID`. Of a message that is too large only the
/// length is kept.
async fn message(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<(usize, Option<String>)>> {
    let (mut bytes, mut key, mut head, mut begins) = (0_usize, None, true, true);
    loop {
        let Some(line) = line(stream).await? else { return Ok(None) };
        // The rest of a line that was cut is no line, also if it is a dot.
        if begins && (line == b".\r\n" || line == b".\n") {
            return Ok(Some((bytes, key)));
        }
        bytes = bytes.saturating_add(line.len());
        head = head && line != b"\r\n" && line != b"\n";
        if head && let Some(value) = String::from_utf8_lossy(&line).split_once(':').and_then(message_id) {
            key = Some(value);
        }
        begins = line.ends_with(b"\n");
        // Somebody who sends without end is not read without end.
        if bytes > 16 * BODY_LIMIT {
            return Ok(None);
        }
    }
}

fn message_id((name, value): (&str, &str)) -> Option<String> {
    name.eq_ignore_ascii_case("message-id").then(|| value.trim().to_owned())
}

/// The domain of `RCPT TO:<name@domain>`: names are personal and are not kept.
fn domain(line: &str) -> String {
    let domain = line.trim_end().trim_end_matches('>').rsplit('@').next().unwrap_or_default();
    let plain = domain.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    if plain && !domain.is_empty() && domain.len() <= 100 { domain.to_ascii_lowercase() } else { "other".to_owned() }
}

/// One line with its end, or none at the end of the connection. A longer line comes in parts, of which
/// only the last has the end.
async fn line(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = async { (&mut *stream).take(LINE).read_until(b'\n', &mut line).await };
    match tokio::time::timeout(PATIENCE, read).await {
        Ok(Ok(0)) => Ok(None),
        Ok(Ok(_)) => Ok(Some(line)),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

async fn say(stream: &mut BufReader<TcpStream>, answer: &str) -> std::io::Result<()> {
    stream.write_all(format!("{answer}\r\n").as_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_recipient_only_the_domain_is_kept() {
        assert_eq!(domain("RCPT TO:<jane.doe@Example.COM>\r\n"), "example.com");
        assert_eq!(domain("RCPT TO:<jane\u{1b}[31m>\r\n"), "other");
        assert_eq!(domain("RCPT TO:<>\r\n"), "other");
    }
}
