//! The answer of a COPY, read beside whoever takes it: rows arrive one by one, and are handed over as blocks, so that
//! whoever takes them is woken once per block.
//!
//! Invariants
//! - a bounded number of blocks waits: a slow taker makes the server wait;
//! - blocks that nobody takes any more are not read on; the connection drops what is still sent.
//!
//! Not here: what a block is (`rows` for scans, `archive` for archives).

use super::session::sql_error;
use futures_util::StreamExt;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio_postgres::CopyOutStream;
use unseed_core::fault::Fault;

/// Blocks that wait for whoever takes them.
const WAITING_MAX: usize = 4;

/// The stream is not what COPY sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Makes blocks of chunks.
pub(super) trait Gather: Send + 'static {
    type Block: Send + 'static;

    /// Takes a chunk, and gives back a block once there is enough for one.
    fn feed(&mut self, chunk: &[u8]) -> Result<Option<Self::Block>, Malformed>;

    /// What is left at the end.
    fn finish(self) -> Result<Option<Self::Block>, Malformed>;
}

/// Why a stream broke off.
enum Failure {
    Server(tokio_postgres::Error),
    Stream,
}

impl From<Malformed> for Failure {
    fn from(_: Malformed) -> Self {
        Self::Stream
    }
}

/// The blocks of an answer, in order.
pub(super) struct Blocks<B> {
    gathered: Receiver<Result<B, Failure>>,
    gathering: JoinHandle<()>,
}

impl<B: Send + 'static> Blocks<B> {
    /// Reads an answer.
    pub(super) fn of(stream: CopyOutStream, gather: impl Gather<Block = B>) -> Self {
        let (blocks, gathered) = channel(WAITING_MAX);
        Self { gathered, gathering: tokio::spawn(read(stream, gather, blocks)) }
    }

    /// The next block; `what` was being done, if there is none for a reason.
    pub(super) async fn next(&mut self, what: &str) -> Result<Option<B>, Fault> {
        match self.gathered.recv().await {
            None => Ok(None),
            Some(Ok(block)) => Ok(Some(block)),
            Some(Err(Failure::Server(error))) => Err(sql_error(&error).fault(what)),
            Some(Err(Failure::Stream)) => {
                Err(Fault::store(format!("{what}: the server sent rows of another form than COPY's")))
            }
        }
    }
}

impl<B> Drop for Blocks<B> {
    fn drop(&mut self) {
        self.gathering.abort();
    }
}

/// Ends early when nobody receives, and after an error.
async fn read<G: Gather>(stream: CopyOutStream, mut gather: G, blocks: Sender<Result<G::Block, Failure>>) {
    let mut stream = std::pin::pin!(stream);
    while let Some(chunk) = stream.next().await {
        let block = chunk.map_err(Failure::Server).and_then(|chunk| Ok(gather.feed(&chunk)?));
        let Some(block) = block.transpose() else { continue };
        let is_last = block.is_err();
        if blocks.send(block).await.is_err() || is_last {
            return;
        }
    }
    if let Some(block) = gather.finish().map_err(Failure::from).transpose() {
        // Whoever is gone wants nothing.
        drop(blocks.send(block).await);
    }
}
