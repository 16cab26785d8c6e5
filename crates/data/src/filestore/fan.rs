//! Sends one stream to several mirrors: what fits into a part is put in one request, what does not goes in parts.
//!
//! Nothing is under its name before [`Fan::complete`]: a stream that turns out to be another file is abandoned.
//! A mirror that fails does not hold up the others.

use std::io::{self, Write};
use std::sync::Arc;

use object_store::path::Path as ObjectPath;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::lane::{Delivered, Lane};

/// Bytes of a part: above what S3 asks for (5 MiB), and 10,000 of them hold 80 GB.
pub(super) const PART: usize = 8 << 20;

pub(super) struct Fan<'a> {
    handle: &'a Handle,
    object: ObjectPath,
    part: Vec<u8>,
    legs: Vec<Leg>,
    /// Bytes that were sent before this part.
    sent: u64,
}

struct Leg {
    lane: Arc<Lane>,
    upload: Option<Box<dyn MultipartUpload>>,
    parts: Vec<JoinHandle<object_store::Result<()>>>,
    failed: Option<object_store::Error>,
}

impl<'a> Fan<'a> {
    pub(super) fn new(handle: &'a Handle, object: ObjectPath, lanes: &[Arc<Lane>]) -> Self {
        let leg = |lane: &Arc<Lane>| Leg { lane: lane.clone(), upload: None, parts: Vec::new(), failed: None };
        Self { handle, object, part: Vec::new(), legs: lanes.iter().map(leg).collect(), sent: 0 }
    }

    /// Sends the part that is full; more follows.
    fn flush_part(&mut self) -> io::Result<()> {
        let payload = PutPayload::from(std::mem::take(&mut self.part));
        self.sent += payload.content_length() as u64;
        for leg in &mut self.legs {
            leg.send(self.handle, &self.object, payload.clone());
        }
        match self.legs.iter().all(|leg| leg.failed.is_some()) {
            true => Err(io::Error::new(io::ErrorKind::BrokenPipe, "no mirror takes it")),
            false => Ok(()),
        }
    }

    /// Gives all that was written its name, in every mirror that took it. A single part is put in the background.
    pub(super) fn complete(mut self, what: &Delivered) {
        let payload = PutPayload::from(std::mem::take(&mut self.part));
        let bytes = self.sent + payload.content_length() as u64;
        for mut leg in std::mem::take(&mut self.legs) {
            if leg.upload.is_none() && leg.failed.is_none() {
                leg.put(self.handle, self.object.clone(), payload.clone(), what.clone());
                continue;
            }
            if payload.content_length() > 0 {
                leg.send(self.handle, &self.object, payload.clone());
            }
            match leg.finish(self.handle) {
                Ok(()) => leg.lane.delivered(what, bytes),
                Err(error) => leg.lane.failed(what, &error),
            }
        }
    }

    /// Takes back what was sent, with the failures of those that failed by themselves.
    pub(super) fn abandon(mut self, what: &Delivered) {
        for mut leg in std::mem::take(&mut self.legs) {
            let failed = leg.failed.take();
            leg.abort(self.handle);
            if let Some(error) = failed {
                leg.lane.failed(what, &error);
            }
        }
    }
}

impl Write for Fan<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Only with more to come: the last part is sent by `complete`.
        if self.part.len() >= PART {
            self.flush_part()?;
        }
        let taken = bytes.len().min(PART - self.part.len());
        self.part.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Leg {
    /// Puts a whole object in the background and tells the lane how it went.
    fn put(&self, handle: &Handle, object: ObjectPath, payload: PutPayload, what: Delivered) {
        let Some(permit) = self.lane.permit(handle) else { return };
        let lane = self.lane.clone();
        handle.spawn(async move {
            let bytes = payload.content_length();
            lane.mirror.pace(bytes).await;
            match lane.mirror.0.store.put(&object, payload).await {
                Ok(_) => lane.delivered(&what, bytes as u64),
                Err(error) => lane.failed(&what, &error),
            }
            // The lane first: whoever waits for all permits may then take the mirror's lock.
            drop(lane);
            drop(permit);
        });
    }

    fn send(&mut self, handle: &Handle, object: &ObjectPath, payload: PutPayload) {
        if self.failed.is_some() {
            return;
        }
        let upload = match &mut self.upload {
            Some(upload) => upload,
            None => match handle.block_on(self.lane.mirror.0.store.put_multipart(object)) {
                Ok(upload) => self.upload.insert(upload),
                Err(error) => return self.failed = Some(error),
            },
        };
        let Some(permit) = self.lane.permit(handle) else { return };
        let (lane, bytes) = (self.lane.clone(), payload.content_length());
        let part = upload.put_part(payload);
        self.parts.push(handle.spawn(async move {
            lane.mirror.pace(bytes).await;
            let sent = part.await;
            drop(lane);
            drop(permit);
            sent
        }));
    }

    fn finish(&mut self, handle: &Handle) -> object_store::Result<()> {
        let done = handle.block_on(async {
            for part in std::mem::take(&mut self.parts) {
                let sent = part.await.unwrap_or_else(|error| {
                    Err(object_store::Error::Generic { store: "mirror", source: Box::new(error) })
                });
                if let Err(error) = sent {
                    self.failed.get_or_insert(error);
                }
            }
            match (self.failed.take(), &mut self.upload) {
                (Some(error), _) => Err(error),
                (None, Some(upload)) => upload.complete().await.map(drop),
                (None, None) => Ok(()),
            }
        });
        match done {
            Ok(()) => self.upload = None,
            Err(_) => self.abort(handle),
        }
        done
    }

    /// Frees what parts hold in the store. A failure leaves them to the bucket's rule for uploads that were not ended.
    fn abort(&mut self, handle: &Handle) {
        handle.block_on(async {
            for part in std::mem::take(&mut self.parts) {
                let _ = part.await;
            }
            if let Some(mut upload) = self.upload.take()
                && let Err(error) = upload.abort().await
            {
                tracing::debug!(%error, "an upload could not be taken back");
            }
        });
    }
}
