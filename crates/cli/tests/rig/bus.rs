//! Odoo's live bus through the entrance: long polling up to series 15, a WebSocket after it. The
//! WebSocket is spoken by hand (RFC 6455, text frames only), over the connection of the HTTP client.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::machine::established;
use super::odoo::Odoo;

/// Listens on a channel, lets a message be sent to it by another call, and returns what came. In
/// between it looks who holds the other end of the entrance's connection to `port`: that must be
/// `uid`.
pub async fn message_comes(odoo: &Odoo, port: u16, uid: u32) -> Value {
    let before = established(port).len();
    let held = async || {
        let found =
            super::until("the entrance is connected to live", 10, async || established(port).len() > before).await;
        let owners = established(port);
        assert!(owners.iter().all(|owner| *owner == uid), "{owners:?} serve port {port}, not {uid}");
        found
    };
    let channel = format!("springtide-{}", std::process::id());
    let came = |message: &Value| message.to_string().contains(&format!("of {channel}"));
    let patience = Duration::from_secs(20);
    if odoo.status("/websocket/health").await == Some(200) {
        let mut socket = subscribe(odoo, &channel).await;
        held().await;
        odoo.act(&format!("env['bus.bus']._sendone('{channel}', 'springtide', {{'mark': 'of {channel}'}})")).await;
        // Odoo's own messages to the session's user come on the same socket.
        let listen = async {
            loop {
                let message = next(&mut socket).await;
                if came(&message) {
                    return message;
                }
            }
        };
        return tokio::time::timeout(patience, listen).await.expect("the message comes within 20 s");
    }
    let listen = {
        let (odoo, channel) = (odoo.clone(), channel.clone());
        tokio::spawn(async move {
            let mut last = 0;
            loop {
                let got = odoo.post("/longpolling/poll", json!({ "channels": [channel], "last": last })).await;
                if got.to_string().contains(&format!("of {channel}")) {
                    return got;
                }
                let ids = got.as_array().into_iter().flatten().filter_map(|message| message["id"].as_i64());
                last = ids.max().unwrap_or(last);
            }
        })
    };
    held().await;
    odoo.act(&format!("env['bus.bus'].sendone('{channel}', {{'mark': 'of {channel}'}})")).await;
    tokio::time::timeout(patience, listen).await.expect("the message comes within 20 s").expect("the poll ends well")
}

/// Whether the event route answers as itself: a WebSocket opens, or a poll is accepted.
pub async fn answers(odoo: &Odoo, websocket: bool) -> bool {
    if websocket {
        return open(odoo).await.is_some();
    }
    // A poll that is accepted blocks; an absent server is answered by the notice page at once.
    let poll = odoo.try_post("/longpolling/poll", json!({ "channels": ["x"], "last": 0 }));
    match tokio::time::timeout(Duration::from_secs(2), poll).await {
        Err(_) => true,
        Ok(answer) => answer.is_ok(),
    }
}

async fn open(odoo: &Odoo) -> Option<reqwest::Upgraded> {
    let answer = odoo
        .client
        .get(format!("{}/websocket", odoo.url))
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("origin", &odoo.url)
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "c3ByaW5ndGlkZS1lMmUtMQ==")
        .send()
        .await
        .ok()?;
    (answer.status().as_u16() == 101).then_some(())?;
    answer.upgrade().await.ok()
}

async fn subscribe(odoo: &Odoo, channel: &str) -> reqwest::Upgraded {
    let mut socket = open(odoo).await.expect("the WebSocket opens");
    let text = json!({ "event_name": "subscribe", "data": { "channels": [channel], "last": 0 } }).to_string();
    assert!(text.len() < 65_536);
    // Final text frame, masked as clients must; a mask of zeros leaves the text as it is.
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(short) if short < 126 => frame.push(0x80 | short),
        _ => {
            frame.push(0x80 | 126);
            frame.extend((text.len() as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    socket.write_all(&frame).await.expect("the frame is sent");
    // The subscription is taken before a message may be sent.
    tokio::time::sleep(Duration::from_millis(500)).await;
    socket
}

/// The next text message that is JSON; pings are passed over.
async fn next(socket: &mut reqwest::Upgraded) -> Value {
    loop {
        let mut head = [0; 2];
        socket.read_exact(&mut head).await.expect("the socket stays open");
        let length = match head[1] & 0x7f {
            126 => usize::from(socket.read_u16().await.expect("a length")),
            127 => socket.read_u64().await.expect("a length") as usize,
            short => usize::from(short),
        };
        let mut body = vec![0; length];
        socket.read_exact(&mut body).await.expect("the whole frame");
        match head[0] & 0x0f {
            1 => return serde_json::from_slice(&body).expect("a message is JSON"),
            8 => panic!("the socket was closed: {}", String::from_utf8_lossy(&body)),
            _ => {}
        }
    }
}
