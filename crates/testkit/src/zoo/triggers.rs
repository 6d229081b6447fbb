//! What happens by itself: triggers, policies, views.

use super::model::{Key, Schema, Table};
use super::partitions::DELETION_LOG;

/// Functions that the triggers call.
pub(super) const FUNCTIONS: &str = "\
CREATE FUNCTION log_deletions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.loose_deletions (table_name, key_value)
    SELECT TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME, gone.id FROM gone;
    RETURN NULL;
END $$;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;
CREATE FUNCTION fill_sharding_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.organization_id IS NULL THEN
        SELECT organization_id INTO NEW.organization_id FROM public.projects WHERE id = NEW.project_id;
    END IF;
    RETURN NEW;
END $$;
";

pub(super) fn add(schema: &mut Schema) {
    let wanted = usize::try_from(schema.zoo.trigger_count).expect("a trigger count fits");
    let plain = schema.tables.iter().filter(|table| table.tail.is_empty());
    let triggers: Vec<String> =
        plain.clone().enumerate().flat_map(|(number, table)| triggers(table, number)).collect();
    assert!(triggers.len() >= wanted, "only {} triggers fit on these tables", triggers.len());
    // All kinds, spread evenly over the tables.
    let spread = (0..wanted).map(|number| triggers[number * triggers.len() / wanted].clone());
    let mut statements: Vec<String> = spread.collect();
    statements.extend(plain.enumerate().flat_map(|(number, table)| policies(table, number)));
    statements.extend(schema.tables.iter().enumerate().filter_map(|(number, table)| view(table, number)));
    schema.statements.extend(statements);
}

fn triggers(table: &Table, number: usize) -> Vec<String> {
    let name = &table.name;
    let mut found = Vec::new();
    if table.key == Key::Number && name != DELETION_LOG {
        found.push(format!(
            "CREATE TRIGGER log_deletions AFTER DELETE ON {name} REFERENCING OLD TABLE AS gone \
             FOR EACH STATEMENT EXECUTE FUNCTION log_deletions()"
        ));
    }
    if number % 4 == 1 {
        found.push(format!(
            "CREATE TRIGGER touch BEFORE UPDATE ON {name} FOR EACH ROW EXECUTE FUNCTION touch()"
        ));
    }
    if number.is_multiple_of(2) && table.has_column("organization_id") && table.has_column("project_id") {
        found.push(format!(
            "CREATE TRIGGER fill_sharding_key BEFORE INSERT ON {name} FOR EACH ROW EXECUTE FUNCTION fill_sharding_key()"
        ));
    }
    found
}

fn policies(table: &Table, number: usize) -> Vec<String> {
    if number % 29 != 1 || !table.has_column("organization_id") {
        return Vec::new();
    }
    let name = &table.name;
    let force = if number.is_multiple_of(2) { "FORCE" } else { "ENABLE" };
    vec![
        format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"),
        format!("ALTER TABLE {name} {force} ROW LEVEL SECURITY"),
        format!(
            "CREATE POLICY own_rows ON {name} \
             USING (organization_id = nullif(current_setting('app.organization', true), '')::bigint)"
        ),
    ]
}

fn view(table: &Table, number: usize) -> Option<String> {
    let name = &table.name;
    match number % 80 {
        20 => Some(format!(
            "CREATE VIEW recent_{number} AS SELECT * FROM {name} WHERE created_at > now() - interval '1 day'"
        )),
        60 => Some(format!("CREATE MATERIALIZED VIEW summary_{number} AS SELECT count(*) AS n FROM {name}")),
        _ => None,
    }
}
