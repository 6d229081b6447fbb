//! Plans as files: the plan itself, and the key files beside it.
//!
//! Invariants
//! - a plan that was edited or damaged is refused, whatever was changed in it;
//! - a key file is looked for beside its plan and nowhere else.
//!
//! Not here: what makes a plan whole (`core::keys`).

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use unseed_core::fault::{Category, Fault};
use unseed_core::keys::WholePlan;
use unseed_core::plan::{FORMAT, Plan};

/// Reads a plan and its key files.
///
/// # Errors
/// A usage fault when a file cannot be read or is no plan, a refusal when the plan was edited or damaged.
pub fn read(path: &Path) -> Result<WholePlan, Fault> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        Fault::usage(format!("plan file `{shown}` cannot be read: {error}"))
            .hint("make a plan with `unseed plan URL -o PLAN.json`")
    })?;
    let plan: Plan = serde_json::from_slice(&bytes).map_err(|error| {
        Fault::usage(format!("`{shown}` is not a plan: {error}"))
            .hint("give a file that `unseed plan -o FILE` wrote, or make the plan again")
    })?;
    if plan.format == FORMAT && !plan.is_intact() {
        return Err(altered(&format!(
            "plan `{shown}` was edited or damaged: its content does not fit its digest"
        )));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let loaded = WholePlan::load(plan, &mut |name, take| key_file(folder, name, take));
    loaded.map_err(|fault| match fault.category {
        Category::Archive => altered(&format!("plan `{shown}` was edited or damaged: {}", fault.message)),
        Category::Usage
        | Category::Refused
        | Category::Stale
        | Category::Store
        | Category::Findings
        | Category::Interrupted => fault,
    })
}

fn altered(message: &str) -> Fault {
    Fault::refused(message).hint("make the plan again with `unseed plan`; a plan cannot be changed by hand")
}

/// Hands over the lines of a key file.
fn key_file(
    folder: &Path,
    name: &str,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if Path::new(name).file_name().is_none_or(|file| file != name) {
        return Err(altered(&format!("the plan names a key file outside its folder: `{name}`")));
    }
    let path = folder.join(name);
    let unread = |error: std::io::Error| {
        Fault::usage(format!("key file `{}` of the plan cannot be read: {error}", path.display()))
            .hint("keep the key files in the folder of their plan, or make the plan again")
    };
    let mut from = BufReader::new(File::open(&path).map_err(unread)?);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).map_err(unread)? > 0 {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if !text.is_empty() {
            take(text)?;
        }
        line.clear();
    }
    Ok(())
}

/// Writes a plan and its key files.
///
/// # Errors
/// An archive fault that names the file that cannot be written.
pub fn write(path: &Path, whole: &WholePlan) -> Result<(), Fault> {
    let folder = path.parent().unwrap_or(Path::new(""));
    for file in whole.files() {
        let target = folder.join(file.name);
        let write = || -> std::io::Result<()> {
            let mut out = BufWriter::new(File::create(&target)?);
            for line in file.lines() {
                out.write_all(line.as_bytes())?;
            }
            out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
        };
        write().map_err(|error| unwritable(&target, &error))?;
    }
    let mut bytes =
        serde_json::to_vec_pretty(whole.plan()).expect("a plan is plain data, which JSON can always hold");
    bytes.push(b'\n');
    let write = || -> std::io::Result<()> {
        let mut out = File::create(path)?;
        out.write_all(&bytes)?;
        out.sync_all()
    };
    write().map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(Category::Archive, format!("plan file `{}` cannot be written: {error}", path.display()))
        .state("no plan was saved, and the store was not changed")
        .hint("name a file in a folder that can be written with `-o FILE`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use unseed_core::plan::{Keys, Path as Way, RootRow, Roots};
    use unseed_core::policy::Policy;

    fn whole(rows: u64, inline_rows_max: usize) -> WholePlan {
        let roots = Roots {
            store: None,
            table: "users".to_owned(),
            count: 0,
            columns: vec!["id".to_owned()],
            chosen_by: "--where".to_owned(),
            keys: Keys::Inline(Vec::new()),
        };
        let plan = Plan {
            format: FORMAT.to_owned(),
            id: String::new(),
            digest: String::new(),
            created_at: String::new(),
            created_by: "dana".to_owned(),
            stores: Vec::new(),
            path: Way::Checked,
            path_reason: String::new(),
            batch_rows_max: 10,
            policy: Policy::default(),
            roots: vec![roots],
            steps: Vec::new(),
            build_indexes: unseed_core::plan::BuildIndexes::Auto,
            indexes: Vec::new(),
            warnings: Vec::new(),
            conflicts: Vec::new(),
            legs: Vec::new(),
            leg_of: None,
        };
        let row = |n: u64| RootRow { key: vec![n.to_string()], version: "v".to_owned() };
        WholePlan::seal(plan, vec![(0..rows).map(row).collect()], inline_rows_max)
    }

    #[test]
    fn plans_come_back_with_and_without_key_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        for (rows, inline_rows_max, files) in [(3, 10, 1), (30, 10, 2)] {
            write(&path, &whole(rows, inline_rows_max)).unwrap();
            assert_eq!(read(&path).unwrap(), whole(rows, inline_rows_max));
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), files);
        }
    }

    #[test]
    fn an_edited_plan_or_key_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        let plan = whole(30, 10);
        write(&path, &plan).unwrap();
        let keys = folder.path().join(plan.files()[0].name);
        let lines = std::fs::read_to_string(&keys).unwrap();
        std::fs::write(&keys, lines.replace("\"7\"", "\"77\"")).unwrap();
        let fault = read(&path).unwrap_err();
        assert_eq!(fault.category, Category::Refused);
        assert!(fault.message.contains("was edited or damaged"), "{}", fault.message);
        std::fs::remove_file(&keys).unwrap();
        assert_eq!(read(&path).unwrap_err().category, Category::Usage);

        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("dana", "dena")).unwrap();
        assert_eq!(read(&path).unwrap_err().category, Category::Refused);
        std::fs::write(&path, &text[..100]).unwrap();
        assert_eq!(read(&path).unwrap_err().category, Category::Usage);
        assert_eq!(read(&folder.path().join("none.json")).unwrap_err().category, Category::Usage);
    }
}
