//! Where each application comes from and how it is told to create its tables.

use unseed_testkit::schemas::{EXPECTED, Engine};

pub(super) struct Recipe {
    pub(super) name: &'static str,
    pub(super) source: Source,
}

pub(super) enum Source {
    /// A Debian package that carries a script of its tables, one per engine.
    Debian(&'static [DebianScript]),
    /// Python packages and a program that is given the URL of an empty database.
    Python { requirements: &'static str, script: &'static str },
}

pub(super) struct DebianScript {
    pub(super) engine: Engine,
    pub(super) package: &'static str,
    /// Paths inside the package, in their order; `.gz` is unpacked.
    pub(super) paths: &'static [&'static str],
}

impl Recipe {
    pub(super) fn engines(&self) -> &'static [Engine] {
        let expected = EXPECTED.iter().find(|(name, _)| *name == self.name);
        expected.map(|(_, engines)| *engines).expect("a test compares the recipes with the expected schemas")
    }

    /// All that decides about the result. A schema is made again when this changes.
    pub(super) fn text(&self) -> String {
        match &self.source {
            Source::Debian(scripts) => scripts
                .iter()
                .map(|script| format!("{} {}\n", script.package, script.paths.join(" ")))
                .collect(),
            Source::Python { requirements, script } => format!("{requirements}\n{script}"),
        }
    }
}

macro_rules! python {
    ($name:literal) => {
        Recipe {
            name: $name,
            source: Source::Python {
                requirements: include_str!(concat!("../../schemas/", $name, ".txt")),
                script: include_str!(concat!("../../schemas/", $name, ".py")),
            },
        }
    };
}

/// The slow ones first, so that two workers end at about the same time.
pub(super) static RECIPES: [Recipe; 9] = [
    python!("django"),
    python!("tryton"),
    python!("indico"),
    python!("galaxy"),
    python!("neutron"),
    python!("synapse"),
    python!("keystone"),
    Recipe {
        name: "zabbix",
        source: Source::Debian(&[
            DebianScript {
                engine: Engine::Postgres,
                package: "zabbix-server-pgsql",
                paths: &["usr/share/zabbix-server-pgsql/schema.sql.gz"],
            },
            DebianScript {
                engine: Engine::Mariadb,
                package: "zabbix-server-mysql",
                paths: &[
                    "usr/share/zabbix-server-mysql/schema.sql.gz",
                    "usr/share/zabbix-server-mysql/images.sql.gz",
                    "usr/share/zabbix-server-mysql/data.sql.gz",
                ],
            },
            DebianScript {
                engine: Engine::Sqlite,
                package: "zabbix-proxy-sqlite3",
                paths: &["usr/share/zabbix-proxy-sqlite3/schema.sql.gz"],
            },
        ]),
    },
    Recipe {
        name: "ledgersmb",
        source: Source::Debian(&[DebianScript {
            engine: Engine::Postgres,
            package: "ledgersmb",
            paths: &["usr/share/ledgersmb/sql/Pg-database.sql"],
        }]),
    },
];
