//! A database of a test's own and the real binary beside it: set a shape up, purge it, look at every row.
//!
//! Rows are compared as text that loses nothing (PostgreSQL: COPY under pinned settings; SQLite: quoted values),
//! so two equal pictures are two equal databases.
//!
//! Invariants
//! - what is compared comes from the database's own client, never from the code under test.
//!
//! Not here: the traps themselves (`semantics_*`), stores with a hook (`hooked`).

mod hooked;

pub(crate) use hooked::{Moment, purge_with};

use crate::support::{Answer, answer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use unseed_testkit::server::{Database, Mariadb, MariadbDatabase, Postgres, sqlite};

/// Every row of every table, by table name, sorted.
pub(crate) type Picture = BTreeMap<String, Vec<String>>;

/// One database, and a folder in which the binary runs.
pub(crate) struct Lab<'s> {
    folder: tempfile::TempDir,
    base: Base<'s>,
    /// The role that unseed connects as; psql always is the superuser.
    role: Option<String>,
    /// What is put behind the URL's question mark.
    options: String,
    /// Where the state is kept, if not in a file.
    state: Option<Database<'s>>,
}

enum Base<'s> {
    Postgres(Database<'s>),
    Mariadb(MariadbDatabase<'s>),
    Sqlite(PathBuf),
}

impl Lab<'static> {
    /// A database on the server that all tests share.
    #[track_caller]
    pub(crate) fn postgres(ddl: &str) -> Self {
        Lab::on(Postgres::shared().unwrap(), ddl)
    }

    /// A database on the MariaDB server that all tests share.
    #[track_caller]
    pub(crate) fn mariadb(ddl: &str) -> Self {
        Lab::on_mariadb(Mariadb::shared().unwrap(), ddl)
    }

    /// A database file.
    #[track_caller]
    pub(crate) fn sqlite(ddl: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = Base::Sqlite(folder.path().join("app.db"));
        let lab = Self { folder, base, role: None, options: String::new(), state: None };
        lab.sql(&format!("BEGIN;\n{ddl};\nCOMMIT;"));
        lab
    }

    /// A database file that is there already.
    pub(crate) fn of_file(path: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, base: Base::Sqlite(path), role: None, options: String::new(), state: None }
    }
}

impl<'s> Lab<'s> {
    /// A database on a server of the test's own.
    #[track_caller]
    pub(crate) fn on(server: &'s Postgres, ddl: &str) -> Self {
        let lab = Self::of(server.database("semantics").unwrap());
        lab.sql(ddl);
        lab
    }

    /// A database on a MariaDB server of the test's own.
    #[track_caller]
    pub(crate) fn on_mariadb(server: &'s Mariadb, ddl: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = Base::Mariadb(server.database("semantics").unwrap());
        let lab = Self { folder, base, role: None, options: String::new(), state: None };
        lab.sql(ddl);
        lab
    }

    /// The database on a MariaDB server.
    #[track_caller]
    pub(crate) fn maria(&self) -> &MariadbDatabase<'s> {
        match &self.base {
            Base::Mariadb(database) => database,
            Base::Postgres(_) | Base::Sqlite(_) => panic!("this is no MariaDB"),
        }
    }

    /// A database that is there already.
    pub(crate) fn of(database: Database<'s>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, base: Base::Postgres(database), role: None, options: String::new(), state: None }
    }

    /// From here on the state is kept in a database of this server.
    #[track_caller]
    pub(crate) fn with_state_on(mut self, server: &'s Postgres) -> Self {
        self.state = Some(server.database("state").unwrap());
        self
    }

    /// The database of the state, if it is not kept in a file.
    pub(crate) fn state_database(&self) -> Option<&Database<'s>> {
        self.state.as_ref()
    }

    /// The answer of the state database, asked with its own client.
    #[track_caller]
    pub(crate) fn state(&self, sql: &str) -> String {
        let said = match &self.state {
            None => sqlite::run(&self.path(".unseed/state.db"), &format!(".timeout 10000\n{sql};")),
            Some(database) => database.psql(&format!("SET search_path = unseed; {sql};")),
        };
        said.unwrap_or_else(|error| panic!("{error}")).trim_end().to_owned()
    }

    /// From here on unseed connects as a new role that owns every table, but is no superuser.
    #[track_caller]
    pub(crate) fn owned(mut self) -> Self {
        let role = self.new_role();
        self.sql(&format!(
            "DO $$ DECLARE r record; BEGIN
               FOR r IN SELECT oid::regnamespace AS n FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
               LOOP EXECUTE format('GRANT ALL ON SCHEMA %s TO {role}', r.n); END LOOP;
               FOR r IN SELECT c.oid::regclass AS t FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
               LOOP EXECUTE format('ALTER TABLE %s OWNER TO {role}', r.t); END LOOP;
             END $$;"
        ));
        self.role = Some(role);
        self
    }

    /// The role of `owned` sees all rows, even of tables whose policies apply to their owner.
    #[track_caller]
    pub(crate) fn past_row_security(self) -> Self {
        let role = self.role.as_deref().expect("a role was made");
        self.sql(&format!("ALTER ROLE {role} BYPASSRLS"));
        self
    }

    /// A role of this test, without any right; unseed connects as it from here on.
    #[track_caller]
    pub(crate) fn as_new_role(&mut self) -> String {
        let role = self.new_role();
        self.role = Some(role.clone());
        role
    }

    /// A MariaDB user of this test, without any right; unseed connects as it from here on.
    #[track_caller]
    pub(crate) fn as_new_maria_user(&mut self) -> String {
        let name = format!("user_of_{}", self.maria().name());
        self.sql(&format!("CREATE OR REPLACE USER '{name}'@'127.0.0.1'"));
        self.role = Some(name.clone());
        name
    }

    #[track_caller]
    fn new_role(&self) -> String {
        let role = format!("role_of_{}", self.database().name());
        self.database().server().role(&role, None).unwrap();
        role
    }

    /// Settings of unseed's session, as `name=value`.
    pub(crate) fn with_setting(mut self, setting: &str) -> Self {
        self.options = format!("?options=-c%20{}", setting.replace('=', "%3D"));
        self
    }

    #[track_caller]
    pub(crate) fn database(&self) -> &Database<'s> {
        match &self.base {
            Base::Postgres(database) => database,
            Base::Mariadb(_) => panic!("this is no PostgreSQL"),
            Base::Sqlite(path) => panic!("{} is no database of a server", path.display()),
        }
    }

    /// Where the server listens.
    #[track_caller]
    pub(crate) fn port(&self) -> u16 {
        match &self.base {
            Base::Postgres(database) => database.server().port(),
            Base::Mariadb(database) => database.server().port(),
            Base::Sqlite(path) => panic!("{} is no database of a server", path.display()),
        }
    }

    /// The file of a SQLite database.
    #[track_caller]
    pub(crate) fn file(&self) -> &Path {
        match &self.base {
            Base::Sqlite(path) => path,
            Base::Postgres(database) => panic!("{} is no file", database.name()),
            Base::Mariadb(database) => panic!("{} is no file", database.name()),
        }
    }

    /// Where unseed is told that the database is.
    pub(crate) fn url(&self) -> String {
        match (&self.base, &self.role) {
            (Base::Postgres(database), None) => format!("{}{}", database.url(), self.options),
            (Base::Postgres(database), Some(role)) => {
                format!("{}{}", database.url_as(role, None), self.options)
            }
            (Base::Mariadb(database), role) => {
                let role = role.as_deref().unwrap_or("root");
                format!("{}{}", database.server().url_as(role, None, database.name()), self.options)
            }
            (Base::Sqlite(path), _) => format!("sqlite:{}", path.display()),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs SQL with the database's own client.
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        let said = match &self.base {
            Base::Postgres(database) => database.psql(sql),
            Base::Mariadb(database) => database.sql(sql),
            Base::Sqlite(path) => sqlite::run(path, sql),
        };
        said.unwrap_or_else(|error| panic!("{error}")).trim_end().to_owned()
    }

    /// Every row there is.
    #[track_caller]
    pub(crate) fn picture(&self) -> Picture {
        self.picture_within("")
    }

    /// Every row there would be after this SQL, which is rolled back.
    #[track_caller]
    pub(crate) fn picture_within(&self, sql: &str) -> Picture {
        let text = match &self.base {
            Base::Mariadb(database) => {
                assert!(sql.is_empty(), "MariaDB's picture is that of another session");
                return mariadb_picture(
                    &self.sql("SHOW FULL TABLES WHERE Table_type <> 'VIEW'"),
                    &database.dump().unwrap(),
                );
            }
            Base::Postgres(_) => self.sql(&format!("BEGIN;\n{sql}\n{POSTGRES_PICTURE}\nROLLBACK;")),
            Base::Sqlite(path) => {
                let picture = sqlite_picture(&self.sql(SQLITE_TABLES));
                sqlite::run(path, &format!("BEGIN;\n{sql}\n{picture}\nROLLBACK;")).unwrap()
            }
        };
        let mut picture = Picture::new();
        let mut table = String::new();
        for line in text.lines() {
            match line.strip_prefix("## ") {
                Some(name) => {
                    name.clone_into(&mut table);
                    picture.insert(table.clone(), Vec::new());
                }
                None => picture.entry(table.clone()).or_default().push(line.to_owned()),
            }
        }
        picture.values_mut().for_each(|rows| rows.sort());
        picture
    }

    /// Rows of a table, counted by the database's client.
    #[track_caller]
    pub(crate) fn count(&self, table: &str) -> u64 {
        self.sql(&format!("SELECT count(*) FROM {table}")).parse().unwrap()
    }

    /// The binary in the folder of this lab, with nothing of ours in the environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unseed"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("PG") || ["UNSEED_STATE", "UNSEED_ACTOR", "NO_COLOR"].contains(&name.as_str())
            {
                command.env_remove(name);
            }
        }
        if let Some(state) = &self.state {
            command.env("UNSEED_STATE", state.url());
        }
        command.env("USER", "dana");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        answer(&mut self.command(arguments))
    }

    /// Runs a command that must end with this code; returns its JSON.
    #[track_caller]
    pub(crate) fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.extend(["--format", "json"]);
        let answer = self.run(&all);
        assert_eq!(answer.code, Some(code), "{all:?}\n{}\n{}", answer.stdout, answer.stderr);
        serde_json::from_str(&answer.stdout).expect("one JSON document on standard output")
    }

    /// `unseed plan` with these roots, whatever comes of it.
    pub(crate) fn try_plan(&self, roots: &str, more: &[&str]) -> Answer {
        let url = self.url();
        let mut arguments = vec!["plan", &url, "--where", roots, "-o", "plan.json"];
        arguments.extend(more);
        self.run(&arguments)
    }

    /// A plan that is not refused.
    #[track_caller]
    pub(crate) fn plan(&self, roots: &str, more: &[&str]) -> Plan {
        let answer = self.try_plan(roots, more);
        assert_eq!(answer.code, Some(0), "{answer:?}");
        let text = std::fs::read_to_string(self.path("plan.json")).unwrap();
        Plan(serde_json::from_str(&text).unwrap())
    }

    /// `unseed purge` of the plan that was made last, whatever comes of it.
    pub(crate) fn try_purge(&self) -> Answer {
        let id = self.plan_id();
        self.run(&["purge", "plan.json", "--confirm", &id])
    }

    /// A purge that succeeds; returns its report.
    #[track_caller]
    pub(crate) fn purge(&self) -> Value {
        let id = self.plan_id();
        self.json(0, &["purge", "plan.json", "--confirm", &id])
    }

    pub(crate) fn plan_id(&self) -> String {
        let text = std::fs::read_to_string(self.path("plan.json")).unwrap();
        let plan: Value = serde_json::from_str(&text).unwrap();
        plan["id"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn verify(&self, run: &str) -> Value {
        self.json(0, &["verify", run])
    }

    #[track_caller]
    pub(crate) fn restore(&self, run: &str) -> Value {
        self.json(0, &["restore", run, "--confirm", run])
    }

    /// Plan, purge, verify: these rows left, everything else is as it was. Returns what there was before.
    #[track_caller]
    pub(crate) fn removes(&self, roots: &str, more: &[&str], gone: &[(&str, usize)]) -> Picture {
        let before = self.picture();
        self.plan(roots, more);
        self.purge();
        self.left(&before, gone);
        self.verify("r-1");
        before
    }

    /// The whole circle: what `removes` says, and a restore brings every row back.
    #[track_caller]
    pub(crate) fn circle(&self, roots: &str, more: &[&str], gone: &[(&str, usize)]) {
        let before = self.removes(roots, more, gone);
        self.restore("r-1");
        assert_same(&self.picture(), &before);
    }

    /// Purges and restores as run `run`, whatever the plan says.
    #[track_caller]
    pub(crate) fn circle_as(&self, roots: &str, run: &str) {
        let before = self.picture();
        self.plan(roots, &[]);
        self.purge();
        self.verify(run);
        self.restore(run);
        assert_same(&self.picture(), &before);
    }

    /// These rows left since, and the archive holds exactly them; tables that are not named may have
    /// changed rows, but have as many as before.
    #[track_caller]
    pub(crate) fn left(&self, before: &Picture, gone: &[(&str, usize)]) {
        let after = self.picture();
        for (table, rows) in before {
            let expected = gone.iter().filter(|(name, _)| name == table).map(|(_, n)| *n).sum::<usize>();
            let lost = rows.len() - after[table].len().min(rows.len());
            assert_eq!(lost, expected, "rows that left `{table}`: {before:#?} {after:#?}");
        }
        for (table, _) in gone {
            assert!(before.contains_key(*table), "there is no table `{table}`");
        }
    }

    /// What the archive of a run holds of a section, such as `public.users.copy` or `users.sql`.
    #[track_caller]
    pub(crate) fn archived(&self, run: &str, section: &str) -> Vec<String> {
        let folder = self.path(&format!(".unseed/archive/{run}"));
        let mut lines = Vec::new();
        let mut batches: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        batches.sort();
        for file in batches.iter().map(|batch| batch.join(format!("{section}.gz"))).filter(|f| f.is_file()) {
            let output = Command::new("gunzip").arg("-c").arg(file).output().unwrap();
            assert!(output.status.success());
            lines.extend(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned));
        }
        lines.sort();
        lines
    }
}

/// A plan as the file has it.
pub(crate) struct Plan(pub(crate) Value);

impl Plan {
    /// Rows that a step takes from a table.
    pub(crate) fn rows(&self, table: &str, action: &str) -> u64 {
        let steps = self.0["steps"].as_array().unwrap().iter();
        steps
            .filter(|s| s["table"] == table && s["action"] == action)
            .filter_map(|s| s["rows"].as_u64())
            .sum()
    }

    /// What the warnings of a kind say.
    pub(crate) fn warnings(&self, id: &str) -> Vec<String> {
        let warnings = self.0["warnings"].as_array().unwrap().iter().filter(|w| w["id"] == id);
        warnings
            .map(|w| format!("{}: {}", w["table"].as_str().unwrap(), w["says"].as_str().unwrap()))
            .collect()
    }

    pub(crate) fn path(&self) -> &str {
        self.0["path"].as_str().unwrap()
    }
}

/// Rows that are in one picture only.
#[track_caller]
pub(crate) fn assert_same(now: &Picture, before: &Picture) {
    for (table, rows) in before {
        let found = now.get(table).cloned().unwrap_or_default();
        if found == *rows {
            continue;
        }
        let missing: Vec<&String> = rows.iter().filter(|row| !found.contains(row)).collect();
        let extra: Vec<&String> = found.iter().filter(|row| !rows.contains(row)).collect();
        panic!("`{table}` differs: missing {missing:#?}, new {extra:#?}");
    }
    assert_eq!(now.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
}

/// Checks the exit code and the three parts of a fault, and that it says all of these; returns its text.
#[track_caller]
pub(crate) fn fault(answer: &Answer, code: i32, says: &[&str]) -> String {
    assert_eq!(answer.code, Some(code), "{answer:?}");
    let lines: Vec<&str> = answer.stderr.lines().skip_while(|line| !line.starts_with("error: ")).collect();
    let text = lines.join("\n");
    assert!(lines.len() >= 3, "three parts: {answer:?}");
    let (hint, state) = (lines[lines.len() - 1], lines[lines.len() - 2]);
    assert!(hint.starts_with("  hint: ") && hint.len() > 12, "the last part is what to do: {text}");
    assert!(state.starts_with("  ") && !state.starts_with("   "), "then the state of the data: {text}");
    for part in says {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    text
}

const POSTGRES_PICTURE: &str = "
SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'iso_8601'; SET extra_float_digits = 3;
SELECT format('SELECT %L', '## ' || n.nspname || '.' || c.relname),
       format('COPY (SELECT * FROM ONLY %s) TO STDOUT', c.oid::regclass)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY n.nspname, c.relname
\\gexec
";

/// Text that would break a line, or end before its end, is shown as its bytes.
const SQLITE_TABLES: &str = "SELECT t.name || '|' || group_concat(
    'CASE WHEN typeof(' || c.q || ') = ''text'' AND (instr(CAST(' || c.q || ' AS BLOB), x''00'') OR instr(CAST(' || c.q || ' AS BLOB), x''0a'') OR instr(CAST(' || c.q || ' AS BLOB), x''0d'')) THEN ''text:'' || hex(CAST(' || c.q || ' AS BLOB)) ELSE quote(' || c.q || ') END', ' || '','' || ')
FROM pragma_table_list t JOIN (SELECT l.name AS t, '\"' || replace(i.name, '\"', '\"\"') || '\"' AS q
    FROM pragma_table_list l, pragma_table_info(l.name) i) c ON c.t = t.name
WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite!_%' ESCAPE '!' GROUP BY t.name ORDER BY t.name";

fn mariadb_picture(tables: &str, dump: &str) -> Picture {
    let names = tables.lines().filter_map(|line| line.split('\t').next());
    let mut picture: Picture = names.map(|name| (name.to_owned(), Vec::new())).collect();
    for line in dump.lines().filter_map(|line| line.strip_prefix("INSERT INTO `")) {
        let (table, row) = line.split_once('`').unwrap();
        let row = row.split_once(") VALUES (").map_or(row, |(_, values)| values.trim_end_matches(");"));
        picture.get_mut(&table.replace("``", "`")).unwrap().push(row.to_owned());
    }
    picture.values_mut().for_each(|rows| rows.sort());
    picture
}

fn sqlite_picture(tables: &str) -> String {
    let mut script = String::new();
    for line in tables.lines() {
        let (name, columns) = line.split_once('|').unwrap();
        let quoted = name.replace('"', "\"\"");
        script.push_str(&format!(
            "SELECT '## {}';\nSELECT {columns} FROM \"{quoted}\";\n",
            name.replace('\'', "''")
        ));
    }
    script
}
