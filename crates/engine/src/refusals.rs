//! What a closure is refused for, when planning and again when purging: limits and protected rows.
//!
//! Not here: partial views (`work`), stale roots and drift (`batches`).

use std::collections::BTreeMap;
use unseed_core::fault::{Fault, counted};
use unseed_core::policy::Policy;
use unseed_core::port::store::{Closure, Conflict, Harm, Hop};
use unseed_core::schema::{Schema, TableId};

/// Refuses a closure beyond the limits of the policy.
///
/// # Errors
/// `Refused`, with the number and the limit.
pub(crate) fn check_limits(
    schema: &Schema,
    policy: &Policy,
    closure: &Closure,
    counts: &BTreeMap<TableId, u64>,
    root_tables: &[TableId],
) -> Result<(), Fault> {
    let limits = &policy.limits;
    if closure.rows() > limits.max_rows {
        let message =
            format!("{} would leave, the limit is {}", counted(closure.rows(), "row"), limits.max_rows);
        return Err(Fault::refused(message).hint("choose fewer roots, or raise `max_rows` in `[limits]`"));
    }
    for table in root_tables {
        let total = counts.get(table).copied().unwrap_or(0);
        let removed = closure.removed.get(table).copied().unwrap_or(0);
        if exceeds_share(removed, total, limits.max_share_of_table) {
            let name = &schema.table(*table).name;
            let share = limits.max_share_of_table;
            let message = format!(
                "{removed} of {} of `{name}` would leave, the limit is a share of {share}",
                counted(total, "row")
            );
            let hint = "check the roots, or raise `max_share_of_table` in `[limits]`";
            return Err(Fault::refused(message).hint(hint));
        }
    }
    Ok(())
}

/// Whether `part` of `total` is more than `share`; row counts below 2^32 are compared exactly.
pub(crate) fn exceeds_share(part: u64, total: u64, share: f64) -> bool {
    wide(part) > share * wide(total)
}

/// A count as a float, without a cast.
pub(crate) fn wide(count: u64) -> f64 {
    const HIGH: f64 = 4_294_967_296.0;
    let high = u32::try_from(count >> 32).expect("the upper half of 64 bits fits 32 bits");
    let low = u32::try_from(count & 0xffff_ffff).expect("the lower half of 64 bits fits 32 bits");
    f64::from(high) * HIGH + f64::from(low)
}

/// Refuses a closure that reaches protected rows.
///
/// # Errors
/// `Refused`, with one line per path.
pub(crate) fn refuse_conflicts(conflicts: &[Conflict]) -> Result<(), Fault> {
    if conflicts.is_empty() {
        return Ok(());
    }
    let rows: u64 = conflicts.iter().map(|c| c.rows).sum();
    let mut fault = Fault::refused(format!("{} would be removed or changed", counted(rows, "protected row")))
        .hint("leave out the roots that lead there, or move those rows to another owner first");
    fault.details = conflicts.iter().map(path_text).collect();
    Err(fault)
}

/// `tenants 5e → users 77 (by users.tenant_id) → feedback 91 (by feedback.user_id) belongs to
/// protected tenants 7d`.
pub fn path_text(conflict: &Conflict) -> String {
    let walked: Vec<String> = conflict.path.iter().map(hop_text).collect();
    let harm = match conflict.harm {
        Harm::Removed => "",
        Harm::Detached => " (would be detached)",
    };
    let owner = match conflict.owner.last() {
        None => "is protected".to_owned(),
        Some(owner) => format!("belongs to protected {} {}", owner.table, key_text(owner)),
    };
    let more =
        if conflict.rows > 1 { format!(", and {} more like it", conflict.rows - 1) } else { String::new() };
    format!("{}{harm} {owner}{more}", walked.join(" → "))
}

fn hop_text(hop: &Hop) -> String {
    match &hop.via {
        None => format!("{} {}", hop.table, key_text(hop)),
        Some(via) => {
            let column = via.split(" → ").next().unwrap_or(via);
            format!("{} {} (by {column})", hop.table, key_text(hop))
        }
    }
}

fn key_text(hop: &Hop) -> String {
    let values: Vec<&str> = hop.key.iter().map(|(_, value)| value.as_str()).collect();
    values.join(",")
}
