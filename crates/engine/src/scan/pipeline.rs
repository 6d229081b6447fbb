//! Moves the blocks of one table from the store to several weighers, and their batches in order to whoever
//! gathers them.
//!
//! Invariants
//! - batches are gathered in the order in which their blocks were read, so that a scan gives the same report
//!   however many weighers there are;
//! - a bounded number of blocks is under way: a slow gatherer makes the store wait.
//!
//! Not here: weighing (`weigher`), gathering (`gather`).

use super::gather::Scan;
use super::weigher::{Batch, Ground, Weigher};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::{JoinHandle, spawn_blocking};
use unseed_core::fault::Fault;
use unseed_core::port::progress::Progress;
use unseed_core::port::scan::{Block, ScanSource};
use unseed_core::schema::{Schema, TableId};

/// Weighers on a machine with many cores; the store has to keep up with them.
const WEIGHERS_MAX: usize = 4;
/// Blocks that wait for a weigher, and batches that wait to be gathered.
const WAITING_MAX: usize = 8;
/// Rows between two progress messages.
const PROGRESS_ROWS: u64 = 50_000;

type Numbered<T> = (u64, T);
type Blocks = Arc<Mutex<Receiver<Numbered<Box<dyn Block>>>>>;

/// The threads of one table.
struct Line {
    blocks: SyncSender<Numbered<Box<dyn Block>>>,
    gatherer: JoinHandle<(Scan, Result<(), Fault>)>,
    rows: Arc<AtomicU64>,
}

impl Line {
    fn start(scan: Scan, ground: &Arc<Ground>) -> Self {
        let (blocks, waiting) = sync_channel(WAITING_MAX);
        let waiting: Blocks = Arc::new(Mutex::new(waiting));
        let (batches, weighed) = sync_channel(WAITING_MAX);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores.min(WEIGHERS_MAX) {
            let (ground, waiting, batches) = (Arc::clone(ground), Arc::clone(&waiting), batches.clone());
            // It ends when there are no more blocks, or when nobody gathers.
            drop(spawn_blocking(move || weigh(ground, &waiting, &batches)));
        }
        let rows = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&rows);
        let gatherer = spawn_blocking(move || gather(scan, &weighed, &counter));
        Self { blocks, gatherer, rows }
    }
}

fn weigh(ground: Arc<Ground>, blocks: &Blocks, batches: &SyncSender<Numbered<Batch>>) {
    let mut weigher = Weigher::new(ground);
    loop {
        let next = blocks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, block)) = next else { return };
        if batches.send((number, weigher.block(block.as_ref()))).is_err() {
            return;
        }
    }
}

fn gather(
    mut scan: Scan,
    batches: &Receiver<Numbered<Batch>>,
    rows: &AtomicU64,
) -> (Scan, Result<(), Fault>) {
    let mut early: BTreeMap<u64, Batch> = BTreeMap::new();
    let mut next = 0;
    while let Ok((number, batch)) = batches.recv() {
        early.insert(number, batch);
        while let Some(batch) = early.remove(&next) {
            if let Err(fault) = scan.batch(&batch) {
                return (scan, Err(fault));
            }
            rows.fetch_add(super::tape::wide(batch.rows.len()), Ordering::Relaxed);
            next += 1;
        }
    }
    assert!(early.is_empty(), "a weigher has failed");
    (scan, Ok(()))
}

/// Streams a table through the weighers into the scan, which is given back.
pub(super) async fn run(
    source: &mut dyn ScanSource,
    schema: &Schema,
    table: TableId,
    scan: Scan,
    progress: &dyn Progress,
) -> Result<Scan, Fault> {
    let ground = scan.ground();
    let columns = ground.layout.columns.clone();
    let Line { blocks, gatherer, rows } = Line::start(scan, &ground);
    let stage = format!("reading {}", schema.table(table).name);
    let estimate = schema.table(table).rows_estimate;
    let (mut number, mut told) = (0, 0);
    let mut take = |block: Box<dyn Block>| {
        if blocks.send((number, block)).is_err() {
            return ControlFlow::Break(());
        }
        number += 1;
        let done = rows.load(Ordering::Relaxed);
        if done / PROGRESS_ROWS > told {
            told = done / PROGRESS_ROWS;
            progress.update(&stage, done, Some(estimate.max(done)));
        }
        ControlFlow::Continue(())
    };
    let read = source.read(schema, table, &columns, &mut take).await;
    drop(blocks);
    let (scan, gathered) = gatherer.await.expect("gathering ends with a result");
    gathered.and(read)?;
    let done = rows.load(Ordering::Relaxed);
    progress.update(&stage, done, Some(done));
    Ok(scan)
}
