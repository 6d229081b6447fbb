//! What triggers do besides: refused, unless the plan allows it; archived then.
//!
//! The session counts row operations over all tables, not per table. What is allowed is compared per table: such
//! tables are copied before a batch and compared after it, and the differences must add up to what was counted. For
//! that to be sure, triggers must name nothing but allowed tables and tables of the batch; they cannot use dynamic
//! SQL, so their text says it all, with that of the triggers they set off. One that calls a routine, or a
//! function that is not known to be harmless, is refused.
//!
//! Not here: restoring what triggers changed (`store::sql::effects`).

use super::archive::{Section, write_section};
use super::dialect::MysqlDialect;
use super::remove::{Touched, unplanned};
use super::{Mysql, Stop};
use crate::store::sql::closure::key_set;
use crate::store::sql::counts;
use crate::store::sql::dialect::Dialect;
use crate::store::sql::{Session, SqlError, number};
use std::collections::BTreeSet;
use unseed_core::fault::Fault;
use unseed_core::port::store::{ArchiveSink, Closure, Removed, SectionKind, TagRange, Work};
use unseed_core::schema::{Table, TableId};

/// Tables that triggers may touch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mentioned {
    pub(super) tables: BTreeSet<TableId>,
    /// A trigger calls a routine, whose text need not be known.
    pub(super) calls: bool,
}

/// Words of a text outside quotes for texts, in lower case.
fn words(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut word = String::new();
    let mut within: Option<char> = None;
    for c in text.chars().chain([' ']) {
        match within {
            Some(quote) if c == quote => within = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => within = Some(c),
            None if c.is_alphanumeric() || c == '_' || c == '$' => word.extend(c.to_lowercase()),
            None => {
                words.insert(std::mem::take(&mut word));
            }
        }
    }
    // An unbalanced quote would hide what is behind it.
    if within.is_some() {
        words
            .extend(text.to_lowercase().split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned));
    }
    words
}

/// What may stand in front of a parenthesis without writing anywhere.
const HARMLESS: &[&str] = &[
    "abs",
    "and",
    "as",
    "between",
    "by",
    "cast",
    "ceil",
    "char_length",
    "coalesce",
    "concat",
    "concat_ws",
    "convert",
    "count",
    "current_timestamp",
    "date",
    "exists",
    "floor",
    "greatest",
    "hex",
    "if",
    "ifnull",
    "in",
    "interval",
    "into",
    "json_array",
    "json_object",
    "key",
    "last_insert_id",
    "least",
    "left",
    "length",
    "lower",
    "max",
    "md5",
    "min",
    "not",
    "now",
    "nullif",
    "on",
    "or",
    "right",
    "round",
    "select",
    "set",
    "substring",
    "sum",
    "then",
    "trim",
    "unix_timestamp",
    "upper",
    "using",
    "utc_timestamp",
    "uuid",
    "values",
    "when",
    "where",
];

/// Whether a text calls something that may write: an unknown name in front of a parenthesis, or a known one that is
/// qualified.
fn may_call(text: &str, is_table: impl Fn(&str) -> bool) -> bool {
    let text = text.replace('`', " ").to_lowercase();
    let mut rest = text.as_str();
    let mut before = String::new();
    while let Some((head, behind)) = rest.split_once('(') {
        before.push_str(head);
        let name = before.trim_end().rsplit(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').next();
        let name = name.unwrap_or_default();
        let front = before.trim_end().trim_end_matches(name).trim_end();
        let is_known = name.is_empty() || is_table(name) || HARMLESS.contains(&name) && !front.ends_with('.');
        if !is_known {
            return true;
        }
        before.push('(');
        rest = behind;
    }
    false
}

fn named(words: &BTreeSet<String>, table: &Table) -> bool {
    let name = table.name.name.to_lowercase();
    let mut parts = name.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$');
    parts.all(|part| words.contains(part))
}

/// Tables that triggers of these tables name, and triggers of those, and so on.
pub(super) fn mentioned(work: &Work, fired: &BTreeSet<TableId>) -> Mentioned {
    let mut found = Mentioned::default();
    let mut todo: Vec<TableId> = fired.iter().copied().collect();
    let mut seen: BTreeSet<TableId> = fired.clone();
    while let Some(table) = todo.pop() {
        // Whatever it does to the tables it names, their triggers of any kind may follow.
        let is_first = fired.contains(&table);
        for effect in &work.schema.table(table).effects {
            if is_first && !effect.on_delete && !effect.on_update {
                continue;
            }
            let words = words(&effect.definition);
            let tables = &work.schema.tables;
            let is_table = |name: &str| tables.iter().any(|t| t.name.name.eq_ignore_ascii_case(name));
            found.calls |= words.contains("call") || may_call(&effect.definition, is_table);
            for id in work.schema.table_ids().filter(|id| named(&words, work.schema.table(*id))) {
                found.tables.insert(id);
                if seen.insert(id) {
                    todo.push(id);
                }
            }
        }
    }
    found
}

fn copy_of(table: TableId) -> String {
    format!("unseed_e{}", table.0)
}

impl Mysql {
    /// Copies the tables that triggers may touch.
    pub(super) async fn remember(&mut self, work: &Work) -> Result<(), Stop> {
        let d = MysqlDialect;
        for table in &work.allowed_effects {
            let shape = work.schema.table(*table);
            if shape.key().is_none() {
                return Err(Stop::Fault(
                    Fault::refused(format!(
                        "what triggers do to `{}` cannot be undone: it has no key",
                        shape.name
                    ))
                    .state("the batch was rolled back")
                    .hint("give the table a primary key, or drop the trigger for the purge"),
                ));
            }
            let name = d.temp(&copy_of(*table));
            self.session.run(&format!("DROP TEMPORARY TABLE IF EXISTS {name}")).await?;
            let select = format!(
                "SELECT {}, {} AS ver, x.* FROM {} x",
                d.located(shape, "x").join(", "),
                d.row_hash(shape, "x"),
                d.relation(shape)
            );
            let lookup = d.lookup(shape).into_iter();
            let indexes: Vec<_> = lookup
                .map(|index| index.into_iter().map(|(name, c)| (name, Some(&shape.columns[c]))).collect())
                .collect();
            self.session.run(&d.create_set(&name, &indexes, &select)).await?;
        }
        Ok(())
    }

    /// Accepts what triggers did to allowed tables, and archives it; refuses anything else.
    pub(super) async fn explain_extra(
        &mut self,
        work: &Work,
        batch: TagRange,
        expected: &Closure,
        extra: Touched,
        removed: &mut Removed,
        sink: &mut dyn ArchiveSink,
    ) -> Result<(), Stop> {
        let fired: BTreeSet<TableId> =
            expected.removed.keys().chain(expected.detached_rows.keys()).copied().collect();
        if work.allowed_effects.is_empty() {
            if extra != Touched::default() {
                return Err(Stop::Fault(unplanned(work, &fired, extra)));
            }
            return Ok(());
        }
        let mut found = Touched::default();
        for table in &work.allowed_effects {
            let one = self.compare(work, batch, *table).await?;
            found.inserted += one.inserted;
            found.updated += one.updated;
            found.deleted += one.deleted;
        }
        let named = mentioned(work, &fired);
        let only_allowed = named.tables.iter().all(|t| work.allowed_effects.contains(t) || fired.contains(t));
        // One row may be changed several times.
        let adds_up = found.inserted == extra.inserted
            && found.deleted == extra.deleted
            && found.updated <= extra.updated
            && (found.updated > 0 || extra.updated == 0);
        if !only_allowed || named.calls {
            if extra != Touched::default() {
                return Err(Stop::Fault(unplanned(work, &fired, extra)));
            }
        } else if !adds_up {
            return Err(Stop::Changed(
                "others wrote to a table that triggers of the batch write to".to_owned(),
            ));
        }
        if extra != Touched::default() {
            self.archive_effects(work, batch, removed, sink).await?;
        }
        Ok(())
    }

    /// Which rows of a table are new, changed or gone since it was copied, those of the batch aside.
    async fn compare(&mut self, work: &Work, batch: TagRange, table: TableId) -> Result<Touched, SqlError> {
        let gone = self.gone(work, batch, table);
        Ok(Touched {
            inserted: self.count_from(&born(work, table)).await?,
            updated: self.count_from(&changed(work, table)).await?,
            deleted: self.count_from(&gone).await?,
        })
    }

    async fn count_from(&mut self, source: &str) -> Result<u64, SqlError> {
        let rows = self.session.rows(&format!("SELECT count(*) {source}")).await?;
        Ok(rows.first().map_or(0, |row| number(row, 0)))
    }

    fn gone(&self, work: &Work, batch: TagRange, table: TableId) -> String {
        let d = MysqlDialect;
        let shape = work.schema.table(table);
        let copy = d.temp(&copy_of(table));
        let there = d.at(shape, "y", "x");
        let mut source =
            format!("FROM {copy} x WHERE NOT EXISTS (SELECT 1 FROM {} y WHERE {there})", d.relation(shape));
        if self.sets.has(table) {
            let same: Vec<String> =
                (0..shape.key().unwrap_or_default().len()).map(|n| format!("k.p{n} = x.p{n}")).collect();
            source.push_str(&format!(
                " AND NOT EXISTS (SELECT 1 FROM {} k WHERE {} AND k.doomed AND {})",
                d.temp(&key_set(table)),
                same.join(" AND "),
                counts::in_batch("k", Some(batch)),
            ));
        }
        source
    }

    async fn archive_effects(
        &mut self,
        work: &Work,
        batch: TagRange,
        removed: &mut Removed,
        sink: &mut dyn ArchiveSink,
    ) -> Result<(), Stop> {
        for table in &work.allowed_effects {
            let shape = work.schema.table(*table);
            let columns = shape.stored_columns();
            let before = format!(
                "FROM {} x JOIN {} y ON {} WHERE x.ver <> {}",
                copy_of(*table),
                MysqlDialect.relation(shape),
                MysqlDialect.at(shape, "y", "x"),
                MysqlDialect.row_hash(shape, "y")
            );
            let sources = [
                (SectionKind::Effect, self.gone(work, batch, *table)),
                (SectionKind::Effect, before),
                (SectionKind::Born, born(work, *table)),
                (SectionKind::Born, changed(work, *table)),
            ];
            for (kind, source) in sources {
                if self.count_from(&source).await? == 0 {
                    continue;
                }
                let is_effect = kind == SectionKind::Effect;
                let is_new = kind == SectionKind::Born && source == born(work, *table);
                let sources = vec![source];
                let section = Section { table: *table, kind, columns: columns.clone(), identity: 0, sources };
                let rows = write_section(&mut self.session, work, &section, None, sink).await?;
                if is_effect {
                    *removed.effects.entry(shape.name.to_string()).or_default() += rows;
                } else if is_new {
                    *removed.inserted.entry(shape.name.to_string()).or_default() += rows;
                }
            }
        }
        Ok(())
    }
}

/// Rows that were there before and are otherwise now, as they are now.
fn changed(work: &Work, table: TableId) -> String {
    let d = MysqlDialect;
    let shape = work.schema.table(table);
    format!(
        "FROM {} x JOIN {} e ON {} WHERE e.ver <> {}",
        d.relation(shape),
        d.temp(&copy_of(table)),
        d.at(shape, "x", "e"),
        d.row_hash(shape, "x")
    )
}

/// Rows that were not there before.
fn born(work: &Work, table: TableId) -> String {
    let d = MysqlDialect;
    let shape = work.schema.table(table);
    format!(
        "FROM {} x WHERE NOT EXISTS (SELECT 1 FROM {} e WHERE {})",
        d.relation(shape),
        d.temp(&copy_of(table)),
        d.at(shape, "x", "e")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_outside_texts_are_found() {
        let found = words("INSERT INTO `Audit_Log` VALUES ('from users', OLD.id); CALL p()");
        assert!(found.contains("audit_log") && found.contains("call") && !found.contains("users"));
        assert!(words("x = 'it; DELETE FROM users").contains("users"));
    }

    #[test]
    fn functions_that_may_write_are_not_taken_for_harmless() {
        let log = |name: &str| name == "log";
        assert!(!may_call("INSERT INTO `log` (a, b) VALUES (OLD.id, CONCAT(LOWER(OLD.a), NOW()))", log));
        assert!(may_call("SET @x = hide(OLD.id)", log));
        assert!(may_call("SET @x = `hide` (OLD.id)", log));
        assert!(may_call("SET @x = other.concat(OLD.id)", log));
    }
}
