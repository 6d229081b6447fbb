//! Writing one batch: sections are compressed, hashed and written on a thread of their own, so that the
//! store goes on streaming meanwhile; on another one finished files are made durable.
//!
//! Invariants
//! - at most [`CHUNKS_MAX`] chunks of 1 MiB wait for the thread, whatever the size of a section;
//! - `finish` returns after every file, `batch.json` and the folders are durable;
//! - a failed write ends the batch: every later call returns a fault, none pretends.
//!
//! Not here: reading back (`reader`), gzip itself (`gzip`).

use super::faults::unwritable;
use super::gzip::{MEMBER_BYTES, Packer};
use super::keys::Recipients;
use super::names::Names;
use super::seal::{Out, Written};
use super::{hash_of, json_bytes};
use crate::durable;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use unseed_core::archive::{BatchManifest, Part};
use unseed_core::fault::{Category, Fault};
use unseed_core::port::archive::BatchWriter;
use unseed_core::port::store::{ArchiveSink, SectionHead};

/// Chunks that may wait for the thread.
const CHUNKS_MAX: usize = 4;
/// Files that are made durable together, side by side; fewer if they are large, which takes the disk longer.
const SYNC_GROUP: usize = 32;
const SYNC_GROUP_BYTES: u64 = 16 * 1024 * 1024;
const SYNC_THREADS: usize = 8;

/// A batch that is being archived.
pub(super) struct FolderBatch {
    run_folder: PathBuf,
    batch: u64,
    folder: String,
    extension: String,
    recipients: Recipients,
    names: Names,
    buffer: Vec<u8>,
    open: Option<(SectionHead, String)>,
    ended: Vec<(SectionHead, String, u64)>,
    parts: Vec<Part>,
    press: Option<Press>,
}

impl FolderBatch {
    pub(super) fn new(
        run_folder: PathBuf,
        (batch, folder): (u64, String),
        extension: &str,
        recipients: Recipients,
    ) -> Self {
        Self {
            run_folder,
            batch,
            folder,
            extension: if recipients.is_empty() {
                format!("{extension}.gz")
            } else {
                format!("{extension}.gz.age")
            },
            recipients,
            names: Names::default(),
            buffer: Vec::new(),
            open: None,
            ended: Vec::new(),
            parts: Vec::new(),
            press: None,
        }
    }

    fn send(&mut self, order: Order) -> Result<(), Fault> {
        match &mut self.press {
            Some(press) => press.send(order),
            None => Err(Fault::new(Category::Archive, "the archive of this batch failed before")
                .state("rows that are not archived are not removed")),
        }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(MEMBER_BYTES));
        self.send(Order::Text(chunk))
    }

    /// Waits for the thread and takes over what it measured.
    fn collect(&mut self) -> Result<(), Fault> {
        let Some(press) = self.press.take() else { return Ok(()) };
        let pressed = press.finish()?;
        assert_eq!(pressed.len(), self.ended.len(), "every section that ended was pressed");
        for ((head, file, rows), pressed) in self.ended.drain(..).zip(pressed) {
            let Some(pressed) = pressed else {
                assert_eq!(rows, 0, "rows have bytes");
                continue;
            };
            self.parts.push(Part {
                head,
                file,
                rows,
                bytes: pressed.bytes,
                bytes_compressed: pressed.bytes_compressed,
                hash: pressed.hash,
                hash_inside: pressed.hash_inside,
            });
        }
        Ok(())
    }
}

impl ArchiveSink for FolderBatch {
    fn begin(&mut self, head: SectionHead) -> Result<(), Fault> {
        assert!(self.open.is_none(), "one section at a time");
        let file = format!("{}/{}", self.folder, self.names.next(&head, &self.extension));
        let path = self.run_folder.join(&file);
        self.press.get_or_insert_with(|| Press::start(self.recipients.clone()));
        self.send(Order::Open(path))?;
        self.open = Some((head, file));
        Ok(())
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        assert!(self.open.is_some(), "a section is begun before it is written");
        while !bytes.is_empty() {
            let room = MEMBER_BYTES - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == MEMBER_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn end(&mut self, rows: u64) -> Result<(), Fault> {
        let (head, file) = self.open.take().expect("a section is begun before it ends");
        self.flush()?;
        self.send(Order::Close)?;
        self.ended.push((head, file, rows));
        Ok(())
    }
}

impl BatchWriter for FolderBatch {
    fn finish(&mut self) -> Result<(String, String), Fault> {
        assert!(self.open.is_none(), "a section ends before its batch");
        self.collect()?;
        let folder = self.run_folder.join(&self.folder);
        let recipients = self.recipients.shown().to_vec();
        let manifest = BatchManifest { batch: self.batch, recipients, parts: self.parts.clone() };
        let bytes = json_bytes(&manifest);
        // Writing `batch.json` also makes the names in the batch's folder durable.
        let path = folder.join("batch.json");
        durable::write(&path, &bytes).map_err(|error| unwritable(&path, &error))?;
        durable::sync_folder(&self.run_folder).map_err(|error| unwritable(&self.run_folder, &error))?;
        Ok((self.folder.clone(), hash_of(&bytes)))
    }

    fn sink(&mut self) -> &mut dyn ArchiveSink {
        self
    }
}

/// What the thread is told.
enum Order {
    Open(PathBuf),
    Text(Vec<u8>),
    Close,
}

/// What the thread measured; `None` for a section without a byte, which gets no file.
struct Pressed {
    bytes: u64,
    bytes_compressed: u64,
    hash: String,
    hash_inside: Option<String>,
}

/// The thread and the way to it.
struct Press {
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<Result<Vec<Option<Pressed>>, Fault>>>,
}

impl Press {
    fn start(recipients: Recipients) -> Self {
        let (orders, receiver) = sync_channel(CHUNKS_MAX);
        let thread = std::thread::spawn(move || Work::new(recipients).run(&receiver));
        Self { orders: Some(orders), thread: Some(thread) }
    }

    fn send(&mut self, order: Order) -> Result<(), Fault> {
        let sent = self.orders.as_ref().map(|orders| orders.send(order));
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => match self.join() {
                Err(fault) => Err(fault),
                Ok(_) => Err(Fault::new(Category::Archive, "the archive writer ended early")),
            },
        }
    }

    fn finish(mut self) -> Result<Vec<Option<Pressed>>, Fault> {
        self.join()
    }

    fn join(&mut self) -> Result<Vec<Option<Pressed>>, Fault> {
        drop(self.orders.take());
        let lost = || Fault::new(Category::Archive, "the archive writer failed before");
        let thread = self.thread.take().ok_or_else(lost)?;
        thread.join().map_err(|_| lost())?
    }
}

impl Drop for Press {
    /// Nothing is written any more once the batch is dropped, so that it can be discarded.
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The file that the thread is writing.
struct Current {
    path: PathBuf,
    out: Option<Out>,
    bytes: u64,
}

/// The thread's side.
struct Work {
    recipients: Recipients,
    packer: Packer,
    current: Option<Current>,
    settler: Settler,
    pressed: Vec<Option<Pressed>>,
}

impl Work {
    fn new(recipients: Recipients) -> Self {
        let (packer, settler, pressed) = (Packer::new(), Settler::start(), Vec::new());
        Self { recipients, packer, current: None, settler, pressed }
    }

    fn run(mut self, orders: &Receiver<Order>) -> Result<Vec<Option<Pressed>>, Fault> {
        while let Ok(order) = orders.recv() {
            match order {
                Order::Open(path) => self.current = Some(Current { path, out: None, bytes: 0 }),
                Order::Text(text) => self.press(&text)?,
                Order::Close => self.close()?,
            }
        }
        self.settler.finish()?;
        Ok(self.pressed)
    }

    fn press(&mut self, text: &[u8]) -> Result<(), Fault> {
        let current = self.current.as_mut().expect("a file is opened before it is written");
        let packed = self.packer.pack(text);
        let mut write = || -> io::Result<()> {
            if current.out.is_none() {
                current.out = Some(Out::create(&current.path, &self.recipients)?);
            }
            let out = current.out.as_mut().expect("it was opened above");
            out.write_all(packed)
        };
        write().map_err(|error| unwritable(&current.path, &error))?;
        current.bytes += widened(text.len());
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let current = self.current.take().expect("a file is opened before it is closed");
        let Some(out) = current.out else {
            self.pressed.push(None);
            return Ok(());
        };
        let written = out.finish().map_err(|error| unwritable(&current.path, &error))?;
        let Written { file, bytes: bytes_compressed, hash, hash_inside } = written;
        self.pressed.push(Some(Pressed { bytes: current.bytes, bytes_compressed, hash, hash_inside }));
        self.settler.take(Finished { path: current.path, file, bytes: bytes_compressed });
        Ok(())
    }
}

/// A file that has all its bytes and is not durable yet.
struct Finished {
    path: PathBuf,
    file: File,
    bytes: u64,
}

/// Makes finished files durable while others are written.
struct Settler {
    files: Option<Sender<Finished>>,
    thread: Option<JoinHandle<Result<(), Fault>>>,
}

impl Settler {
    fn start() -> Self {
        let (files, finished) = channel();
        Self { files: Some(files), thread: Some(std::thread::spawn(move || settle(&finished))) }
    }

    /// Takes a file over; if none is taken any more because one failed, [`Self::finish`] tells.
    fn take(&self, file: Finished) {
        if let Some(files) = &self.files {
            drop(files.send(file));
        }
    }

    /// Returns when all files are durable.
    fn finish(&mut self) -> Result<(), Fault> {
        drop(self.files.take());
        self.thread.take().map_or(Ok(()), |thread| thread.join().map_err(|_| lost())?)
    }
}

impl Drop for Settler {
    /// No file is open any more once the batch is dropped.
    fn drop(&mut self) {
        drop(self.finish());
    }
}

fn lost() -> Fault {
    Fault::new(Category::Archive, "a file was not made durable")
}

fn settle(finished: &Receiver<Finished>) -> Result<(), Fault> {
    let mut group: Vec<Finished> = Vec::new();
    while let Ok(file) = finished.recv() {
        group.push(file);
        let bytes: u64 = group.iter().map(|file| file.bytes).sum();
        if group.len() >= SYNC_GROUP || bytes >= SYNC_GROUP_BYTES {
            sync(&mut group)?;
        }
    }
    sync(&mut group)
}

fn widened(length: usize) -> u64 {
    u64::try_from(length).expect("lengths fit into 64 bits")
}

/// Makes files durable side by side, so that a journalling disk can settle several at once.
fn sync(files: &mut Vec<Finished>) -> Result<(), Fault> {
    let share = files.len().div_ceil(SYNC_THREADS).max(1);
    let results: Vec<Result<(), Fault>> = std::thread::scope(|scope| {
        let workers: Vec<_> = files
            .chunks(share)
            .map(|group| scope.spawn(move || group.iter().try_for_each(sync_one)))
            .collect();
        workers.into_iter().map(|w| w.join().unwrap_or_else(|_| Err(lost()))).collect()
    });
    files.clear();
    results.into_iter().collect()
}

fn sync_one(Finished { path, file, .. }: &Finished) -> Result<(), Fault> {
    file.sync_all().map_err(|error| unwritable(path, &error))
}
