//! What a scan asks of a store: rows of a few columns as a stream of blocks, and grouped counts; and of its
//! surroundings: room for what does not fit into memory.
//!
//! Counts are set-based: one statement per call, grouped on the store's side, so that the answer is proportional
//! to the number of groups. Rows come in blocks that are cut into values by whoever visits them, on another
//! thread than the one that reads.
//!
//! Invariants
//! - values are text in the store's own form, `None` for null; bytes that are no UTF-8 are replaced;
//! - `read` hands over every row of the table once, partitions included, in no particular order;
//! - an error leaves the source usable or says that it is not; a partial answer is never returned as whole.
//!
//! Not here: what the values mean (`detect`), which columns are asked for (`engine::scan`).

use crate::entity::Link;
use crate::fault::Fault;
use crate::protect::Protection;
use crate::schema::{ColumnIndex, Schema, TableId};
use async_trait::async_trait;
use std::ops::ControlFlow;

/// Receives one row at a time, in the order of the columns asked for.
pub type Visit<'a> = dyn FnMut(&[Option<&str>]) + Send + 'a;

/// Receives one block at a time, and may wait until there is room for it; breaking ends the reading.
pub type Take<'a> = dyn FnMut(Box<dyn Block>) -> ControlFlow<()> + Send + 'a;

/// Receives one group at a time.
pub type VisitTally<'a> = dyn for<'t> FnMut(&Tally<'t>) + Send + 'a;

/// Some rows as a store sent them.
pub trait Block: Send {
    /// Visits every row of the block, in order.
    fn visit(&self, visit: &mut Visit<'_>);
}

/// A store as a scan sees it.
#[async_trait]
pub trait ScanSource: Send {
    /// Streams all rows of a table.
    async fn read(
        &mut self,
        schema: &Schema,
        table: TableId,
        columns: &[ColumnIndex],
        take: &mut Take<'_>,
    ) -> Result<(), Fault>;

    /// Counts rows per value of the referencing columns; rows where one of them is null are left out.
    /// Returns the number of rows of the table that were counted.
    async fn tally(
        &mut self,
        schema: &Schema,
        request: &TallyRequest,
        visit: &mut VisitTally<'_>,
    ) -> Result<u64, Fault>;
}

/// A block of rows that are already cut into values.
#[derive(Debug, Default)]
pub struct RowBlock {
    text: String,
    /// Where each value ends in `text`; none for null.
    ends: Vec<Option<usize>>,
    columns: usize,
}

/// Bytes of text from which a block is full.
const BLOCK_BYTES: usize = 64 << 10;

impl RowBlock {
    /// An empty block for rows of so many columns.
    pub fn new(columns: usize) -> Self {
        Self { text: String::new(), ends: Vec::new(), columns }
    }

    /// Adds the next value of a row.
    pub fn push(&mut self, value: Option<&str>) {
        self.text.push_str(value.unwrap_or(""));
        self.ends.push(value.map(|_| self.text.len()));
    }

    /// Whether it is time to hand the block over.
    pub fn is_full(&self) -> bool {
        self.text.len() + self.ends.len() * 8 >= BLOCK_BYTES
    }
}

impl Block for RowBlock {
    fn visit(&self, visit: &mut Visit<'_>) {
        let mut start = 0;
        let mut row = Vec::with_capacity(self.columns);
        for ends in self.ends.chunks(self.columns.max(1)) {
            row.clear();
            for end in ends {
                row.push(end.map(|end| &self.text[start..end]));
                start = end.unwrap_or(start);
            }
            visit(&row);
        }
    }
}

/// Where a scan puts what does not fit into memory.
pub trait Scratch: Send + Sync {
    /// A new, empty spool.
    ///
    /// # Errors
    /// A fault when there is no room for one.
    fn spool(&self) -> Result<Box<dyn Spool>, Fault>;
}

/// Bytes that are written once, one behind the other, and read again. They are gone when it is dropped.
pub trait Spool: Send {
    /// Writes at the end.
    ///
    /// # Errors
    /// A fault when the bytes cannot be kept.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Fault>;

    /// Fills the buffer with the bytes from `at` on, all of which were written before.
    ///
    /// # Errors
    /// A fault when they cannot be read.
    fn read(&mut self, at: u64, buffer: &mut [u8]) -> Result<(), Fault>;
}

/// Asks for counts per referenced row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TallyRequest {
    pub table: TableId,
    /// The referencing columns; the groups.
    pub by: Vec<ColumnIndex>,
    /// When the row happened, for days, first and last.
    pub time: Option<ColumnIndex>,
    /// Rows are told apart by these; a row counts for the first class whose conditions all hold.
    pub paid: PaidWhen,
    /// Only rows that belong to protected ones.
    pub within: Option<Within>,
}

/// Rows that belong to protected rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Within {
    /// How they name them; none where they are protected themselves.
    pub link: Option<Link>,
    /// Which rows of that table are protected.
    pub protections: Vec<Protection>,
}

/// Columns that tell a real payment from a test one; all optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PaidWhen {
    /// Text ids of the provider: test ids contain `_test_` or start with `test`.
    pub external_id: Option<ColumnIndex>,
    /// True only for real money.
    pub live_flag: Option<ColumnIndex>,
    /// A real payment is above zero.
    pub amount: Option<ColumnIndex>,
    /// A real payment has one of [`PAID_STATUS`].
    pub status: Option<ColumnIndex>,
}

/// Words by which payments, invoices and subscriptions say that money flows.
pub const PAID_STATUS: &[&str] = &[
    "succeeded",
    "paid",
    "captured",
    "completed",
    "complete",
    "settled",
    "success",
    "successful",
    "active",
    "closed",
    "confirmed",
];

/// Counts of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally<'a> {
    /// The values of the referencing columns.
    pub key: &'a [Option<&'a str>],
    pub rows: u64,
    /// Rows whose provider id or live flag marks them as test.
    pub marked: u64,
    /// Rows that are not marked and that look like money: amount above zero and a paid status.
    pub paid: u64,
    /// Distinct days of the time column; 0 without one.
    pub days: u64,
    /// Hours of the day of the time column, a bit for each; 0 where it holds none.
    pub hours: u32,
    /// First and last value of the time column, as text.
    pub first: Option<&'a str>,
    pub last: Option<&'a str>,
}
