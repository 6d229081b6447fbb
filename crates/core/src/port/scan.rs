//! What a scan asks of a store: rows of a few columns as a stream, and two kinds of grouped counts.
//!
//! Everything is set-based. A store sends one statement per call and streams the answer; grouping happens on
//! its side, so that the work is proportional to the rows read and the answer to the number of groups.
//!
//! Invariants
//! - values are text in the store's own form, `None` for null; bytes that are no UTF-8 are replaced;
//! - `read` visits every row of the table once, partitions included, in no particular order;
//! - an error leaves the source usable or says that it is not; a partial answer is never returned as whole.
//!
//! Not here: what the values mean (`detect`), which columns are asked for (`engine::scan`).

use crate::fault::Fault;
use crate::schema::{ColumnIndex, Schema, TableId};
use async_trait::async_trait;

/// Receives one row at a time, in the order of the columns asked for.
pub type Visit<'a> = dyn FnMut(&[Option<&str>]) + Send + 'a;

/// Receives one group at a time.
pub type VisitTally<'a> = dyn for<'t> FnMut(&Tally<'t>) + Send + 'a;

/// A store as a scan sees it.
#[async_trait]
pub trait ScanSource: Send {
    /// Streams all rows of a table and returns how many there were.
    async fn read(
        &mut self,
        schema: &Schema,
        table: TableId,
        columns: &[ColumnIndex],
        visit: &mut Visit<'_>,
    ) -> Result<u64, Fault>;

    /// Seconds in which many rows were created.
    async fn bursts(&mut self, schema: &Schema, request: &BurstRequest) -> Result<Vec<Burst>, Fault>;

    /// Counts rows per value of the referencing columns; rows where one of them is null are left out.
    /// Returns the number of rows of the table that were counted.
    async fn tally(
        &mut self,
        schema: &Schema,
        request: &TallyRequest,
        visit: &mut VisitTally<'_>,
    ) -> Result<u64, Fault>;
}

/// Asks for the seconds in which at least `rows_min` rows were created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BurstRequest {
    pub table: TableId,
    pub time: ColumnIndex,
    pub rows_min: u64,
    /// At most so many seconds, the fullest first.
    pub seconds_max: u64,
}

/// One crowded second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Burst {
    /// Any one value of the time column within the second, as text.
    pub at: String,
    pub rows: u64,
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
    /// First and last value of the time column, as text.
    pub first: Option<&'a str>,
    pub last: Option<&'a str>,
}
