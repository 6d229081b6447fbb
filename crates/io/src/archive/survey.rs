//! Looks at an archive file by file and lists all that is wrong, where a restore stops at the first.
//!
//! Invariants
//! - nothing is changed, and no link is followed out of the archive;
//! - a chain is compared from its end: state database → `batch.json` → parts, and `manifest.json` with the state;
//! - files that nothing speaks of are told too, since somebody put them there.
//!
//! Not here: comparing with what was removed (`engine::check`).

use super::gzip::Unpacker;
use super::keys::KEY_FILE;
use super::reader::{self, Lock};
use super::rows::Counter;
use super::seal::Hashing;
use super::{FolderArchive, batch_folder, faults, read_batch, tombstone};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use unseed_core::archive::{BatchManifest, Manifest, Part, Problem, Survey, Tombstone};
use unseed_core::fault::{Category, Fault, counted};

/// Files beside the batches; `commands.log` is the log of a store behind commands.
const OUR_FILES: [&str; 6] =
    ["manifest.json", "plan.json", "schema.json", "restore.sql", "restore.sh", "commands.log"];

/// What the state database says about an archive.
pub(super) struct Claim<'a> {
    pub(super) run: &'a str,
    pub(super) batches: &'a [(u64, String)],
    /// The run is over.
    pub(super) complete: bool,
}

/// Looks at everything; inside encrypted sections where a key was given.
pub(super) fn look(archive: &FolderArchive, folder: &Path, claim: &Claim<'_>) -> Result<Survey, Fault> {
    let mut look = Look { folder, survey: Survey::default() };
    if !look.is_folder() {
        return Ok(look.survey);
    }
    let mut manifests = Vec::new();
    for (batch, hash) in claim.batches {
        match read_batch(folder, *batch, hash) {
            Ok(manifest) => manifests.push(manifest),
            Err(fault) => look.fault(format!("{}/batch.json", batch_folder(*batch)), &fault),
        }
    }
    let buried = tombstone::read(folder)?;
    if let Some(buried) = &buried {
        look.buried(buried, claim);
    }
    let encrypted = first_encrypted(&manifests);
    let lock = match encrypted {
        Some(_) if !archive.unlock.is_given() || buried.is_some() => None,
        Some(_) | None => Some(archive.lock(folder, &manifests)?),
    };
    if let (Some(lock), Some(part)) = (&lock, encrypted) {
        look.fits(part, lock)?;
    }
    look.manifest(claim);
    for manifest in &manifests {
        match buried {
            Some(_) => look.survey.rows += manifest.parts.iter().map(|part| part.rows).sum::<u64>(),
            None => look.batch(manifest, lock.as_ref()),
        }
    }
    look.strangers(claim, &manifests);
    look.survey.recipients = manifests.iter().flat_map(|m| m.recipients.clone()).collect();
    look.survey.recipients.sort();
    look.survey.recipients.dedup();
    look.survey.problems.sort();
    look.survey.problems.dedup();
    look.survey.manifests = manifests;
    Ok(look.survey)
}

fn first_encrypted(manifests: &[BatchManifest]) -> Option<&Part> {
    manifests.iter().flat_map(|m| &m.parts).find(|part| reader::is_encrypted(part))
}

struct Look<'a> {
    folder: &'a Path,
    survey: Survey,
}

impl Look<'_> {
    fn problem(&mut self, file: impl Into<String>, what: impl Into<String>) {
        self.survey.problems.push(Problem { file: file.into(), what: what.into() });
    }

    /// A fault about a file, without the path that the problem names already.
    fn fault(&mut self, file: String, fault: &Fault) {
        let what = fault.message.rsplit_once("` ").map_or(fault.message.as_str(), |(_, what)| what);
        self.problem(file, what);
    }

    fn is_folder(&mut self) -> bool {
        let what = match fs::symlink_metadata(self.folder) {
            Ok(found) if found.is_dir() => return true,
            Ok(found) if found.is_symlink() => {
                "is a link that leads elsewhere, not the folder of the archive"
            }
            Ok(_) => "is a file, not the folder of the archive",
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "is missing: the whole archive",
            Err(error) => return self.unreadable(&error),
        };
        self.problem(".", what);
        false
    }

    fn unreadable(&mut self, error: &std::io::Error) -> bool {
        self.problem(".", format!("cannot be read: {error}"));
        false
    }

    /// A key that does not fit is one fault, not one finding per section; a damaged file is left to `batch`.
    fn fits(&self, part: &Part, lock: &Lock) -> Result<(), Fault> {
        let Ok((path, file)) = reader::verified(self.folder, part) else { return Ok(()) };
        match reader::opened(self.folder, (&path, file), part, lock) {
            Err(fault) if fault.category == Category::Usage => Err(fault),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn manifest(&mut self, claim: &Claim<'_>) {
        const FILE: &str = "manifest.json";
        let path = self.folder.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => return self.fault(FILE.to_owned(), &faults::missing(&path, &error)),
        };
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) else {
            return self.problem(FILE, "is damaged: it is no manifest");
        };
        if manifest.run != claim.run {
            return self.problem(FILE, format!("belongs to run `{}`", manifest.run));
        }
        let listed: Vec<(u64, &String)> = manifest.batches.iter().map(|b| (b.batch, &b.hash)).collect();
        let claimed: Vec<(u64, &String)> = claim.batches.iter().map(|(n, hash)| (*n, hash)).collect();
        let agrees = if claim.complete {
            listed == claimed
        } else {
            listed.iter().all(|entry| claimed.contains(entry))
        };
        if !agrees {
            self.problem(FILE, "lists other batches than the state database knows");
        }
    }

    fn batch(&mut self, manifest: &BatchManifest, lock: Option<&Lock>) {
        for part in &manifest.parts {
            self.survey.files += 1;
            self.survey.rows += part.rows;
            let (path, file) = match self.whole(part) {
                Ok(found) => found,
                Err(fault) => {
                    self.fault(part.file.clone(), &fault);
                    continue;
                }
            };
            self.survey.bytes += part.bytes_compressed;
            let Some(lock) = lock else { continue };
            match read_inside(self.folder, (&path, file), part, lock) {
                Ok(()) => self.survey.sections_read += 1,
                Err(fault) => self.fault(part.file.clone(), &fault),
            }
        }
    }

    fn whole(&self, part: &Part) -> Result<(std::path::PathBuf, File), Fault> {
        let path = self.folder.join(&part.file);
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
            let message = format!("archive file `{}` is a link that leads elsewhere", path.display());
            return Err(Fault::new(Category::Archive, message));
        }
        reader::verified(self.folder, part)
    }

    /// An archive whose rows were removed: all of them, and no others.
    fn buried(&mut self, buried: &Tombstone, claim: &Claim<'_>) {
        let named: Vec<(u64, &String)> = buried.batches.iter().map(|b| (b.batch, &b.hash)).collect();
        let claimed: Vec<(u64, &String)> = claim.batches.iter().map(|(n, hash)| (*n, hash)).collect();
        if buried.run != claim.run || named != claimed {
            self.problem(tombstone::FILE, "speaks of other batches than the state database knows");
        }
        for (batch, _) in claim.batches {
            let folder = batch_folder(*batch);
            for path in tombstone::parts(&self.folder.join(&folder)).unwrap_or_default() {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                self.problem(format!("{folder}/{name}"), "is still there, although the archive expired");
            }
        }
        self.survey.expired = Some(buried.expired.clone());
    }

    /// Files and folders that neither a manifest nor the layout of an archive speaks of.
    fn strangers(&mut self, claim: &Claim<'_>, manifests: &[BatchManifest]) {
        let folders: BTreeSet<String> = claim.batches.iter().map(|(n, _)| batch_folder(*n)).collect();
        for name in names(self.folder) {
            let left = !claim.complete && name.starts_with("batch-");
            if !(is_ours(&name) || folders.contains(&name) || left) {
                self.problem(name, "does not belong to the archive");
            }
        }
        for manifest in manifests {
            let folder = batch_folder(manifest.batch);
            let known: BTreeSet<&str> = manifest.parts.iter().map(|p| p.file.as_str()).collect();
            for name in names(&self.folder.join(&folder)) {
                let file = format!("{folder}/{name}");
                if name != "batch.json" && !known.contains(file.as_str()) {
                    self.problem(file, "does not belong to the archive");
                }
            }
        }
    }
}

/// What `publish`, `prepare` and `expire` write beside the batches, and what a crash leaves of a file that was being
/// written anew: the next attempt takes its place.
fn is_ours(name: &str) -> bool {
    let name = name.strip_suffix(".new").unwrap_or(name);
    let keys = name.starts_with("keys-") && name.ends_with(".jsonl");
    keys || OUR_FILES.contains(&name) || [KEY_FILE, tombstone::FILE].contains(&name)
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Reads a part to its end: decrypted, unpacked, its rows counted.
pub(super) fn read_inside(
    run_folder: &Path,
    (path, file): (&Path, File),
    part: &Part,
    lock: &Lock,
) -> Result<(), Fault> {
    let shown = path.display();
    let bad = |what: String| {
        Fault::new(Category::Archive, format!("archive file `{shown}` {what}"))
            .hint("bring the file back from a copy of the archive folder, then run the command again")
    };
    let mut packed = Hashing::new(reader::opened(run_folder, (path, file), part, lock)?);
    let mut counter = Counter::of(&part.file, part.head.columns.len());
    let mut bytes = 0_u64;
    {
        let mut unpacker = Unpacker::new(&mut packed);
        let torn = |_| bad("is damaged inside: it cannot be decrypted or unpacked to its end".to_owned());
        while let Some(text) = unpacker.next().map_err(torn)? {
            bytes += u64::try_from(text.len()).unwrap_or(u64::MAX);
            counter.feed(&text);
        }
    }
    if part.hash_inside.as_ref().is_some_and(|hash| *hash != packed.hash()) {
        return Err(bad("holds another text than its manifest says".to_owned()));
    }
    if bytes != part.bytes {
        return Err(bad(format!("unpacks to {bytes} of {} bytes", part.bytes)));
    }
    match counter.rows() {
        Err(what) => Err(bad(format!("cannot be read: it {what}"))),
        Ok(rows) if rows != part.rows => {
            Err(bad(format!("holds {}, its manifest says {}", counted(rows, "row"), part.rows)))
        }
        Ok(_) => Ok(()),
    }
}
