//! Which crate of the workspace may use which.
//!
//! `core` uses none of ours, `engine` and `io` see only `core` and never each other, `unseed` wires them. Tests may
//! use `testkit`; `testkit` itself knows `core` and nothing else. `xtask` borrows the private servers of `testkit`, and `fuzz` sees whatever
//! reads bytes.

use crate::process::{self, cargo};
use anyhow::{Context as _, Result};
use serde_json::Value;

const ALLOWED: [(&str, &str); 10] = [
    ("unseed-engine", "unseed-core"),
    ("unseed-io", "unseed-core"),
    ("unseed", "unseed-core"),
    ("unseed", "unseed-engine"),
    ("unseed", "unseed-io"),
    ("unseed-testkit", "unseed-core"),
    ("unseed-fuzz", "unseed-core"),
    ("unseed-fuzz", "unseed-io"),
    ("unseed-fuzz", "unseed"),
    ("xtask", "unseed-testkit"),
];

/// Every crate may use this one in its tests, and none may ship it.
const FOR_TESTS: &str = "unseed-testkit";

/// One dependency between two crates of the workspace.
struct Edge {
    from: String,
    to: String,
    is_for_tests: bool,
}

pub(super) fn complaints() -> Result<Vec<String>> {
    let metadata =
        process::capture(cargo().args(["metadata", "--no-deps", "--format-version", "1", "--offline"]))?;
    let metadata: Value =
        serde_json::from_str(&metadata).context("`cargo metadata` printed something else")?;
    Ok(edges(&metadata).iter().filter(|edge| !is_allowed(edge)).map(complaint).collect())
}

/// A dependency on a crate of ours is one with a path.
fn edges(metadata: &Value) -> Vec<Edge> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages.flat_map(edges_of).collect()
}

fn edges_of(package: &Value) -> Vec<Edge> {
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    let ours = dependencies.filter(|dependency| dependency["path"].is_string());
    let edge = |dependency: &Value| Edge {
        from: text(&package["name"]),
        to: text(&dependency["name"]),
        is_for_tests: dependency["kind"] == "dev",
    };
    ours.map(edge).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn is_allowed(edge: &Edge) -> bool {
    let is_listed = ALLOWED.contains(&(edge.from.as_str(), edge.to.as_str()));
    is_listed || (edge.is_for_tests && edge.to == FOR_TESTS)
}

fn complaint(edge: &Edge) -> String {
    let kind = if edge.is_for_tests { "dev-dependency" } else { "dependency" };
    format!("crate `{}` may not have `{}` as a {kind}", edge.from, edge.to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn assert_complaints(from: &str, to: &str, kind: Option<&str>, expected: usize) {
        let dependency = json!({ "name": to, "path": "/somewhere", "kind": kind });
        let metadata = json!({ "packages": [{ "name": from, "dependencies": [dependency] }] });
        assert_eq!(
            edges(&metadata).iter().filter(|edge| !is_allowed(edge)).count(),
            expected,
            "{from} -> {to}"
        );
    }

    #[test]
    fn engine_and_io_never_see_each_other() {
        assert_complaints("unseed-engine", "unseed-io", None, 1);
        assert_complaints("unseed-io", "unseed-engine", None, 1);
        assert_complaints("unseed-io", "unseed-engine", Some("dev"), 1);
        assert_complaints("unseed", "unseed-engine", None, 0);
    }

    #[test]
    fn the_test_kit_is_never_shipped() {
        assert_complaints("unseed-engine", "unseed-testkit", Some("dev"), 0);
        assert_complaints("unseed-engine", "unseed-testkit", None, 1);
    }
}
