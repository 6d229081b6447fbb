//! What an archive promises, on real folders.

use super::*;
use std::process::Command;
use unseed_core::fault::Category;
use unseed_core::port::store::{SectionHead, SectionKind};

fn head(table: &str, kind: SectionKind) -> SectionHead {
    let columns = vec!["id".to_owned(), "name".to_owned()];
    SectionHead {
        kind,
        namespace: "public".to_owned(),
        table: table.to_owned(),
        columns,
        identity_columns: 1,
    }
}

fn lines(from: u64, to: u64) -> Vec<u8> {
    (from..to).flat_map(|n| format!("{n}\tname of row {n}\n").into_bytes()).collect()
}

/// One batch with a large section, a detached one and an empty one; returns the hash of its manifest.
#[track_caller]
fn archive(store: &mut FolderArchive, text: &[u8]) -> String {
    store.prepare("r-1").unwrap();
    let mut batch = store.begin_batch("r-1", 1).unwrap();
    batch.begin(head("users", SectionKind::Rows)).unwrap();
    for piece in text.chunks(70_001) {
        batch.write(piece).unwrap();
    }
    batch.end(u64::try_from(text.split(|byte| *byte == b'\n').count() - 1).unwrap()).unwrap();
    batch.begin(head("nothing", SectionKind::Rows)).unwrap();
    batch.end(0).unwrap();
    batch.begin(head("users", SectionKind::Detached)).unwrap();
    batch.write(b"7\t\\N\n").unwrap();
    batch.end(1).unwrap();
    let (folder, hash) = batch.finish().unwrap();
    assert_eq!(folder, "batch-0001");
    hash
}

fn open() -> (tempfile::TempDir, FolderArchive) {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderArchive::new(folder.path().join("archive"), "copy");
    (folder, store)
}

fn read_all(store: &mut FolderArchive, hash: &str) -> Result<Vec<Vec<u8>>, Fault> {
    let mut source = store.open("r-1", &[(1, hash.to_owned())])?;
    let mut texts = Vec::new();
    for index in 0..source.sections().len() {
        let mut text = Vec::new();
        source.read(index, &mut |piece| {
            text.extend_from_slice(piece);
            Ok(())
        })?;
        texts.push(text);
    }
    Ok(texts)
}

#[test]
fn sections_come_back_byte_for_byte_in_order() {
    let (_folder, mut store) = open();
    let text = lines(0, 200_000);
    let hash = archive(&mut store, &text);
    assert_eq!(read_all(&mut store, &hash).unwrap(), [text, b"7\t\\N\n".to_vec()]);
    let manifest = store.batch("r-1", 1, &hash).unwrap();
    let files: Vec<&str> = manifest.parts.iter().map(|p| p.file.as_str()).collect();
    assert_eq!(files, ["batch-0001/public.users.copy.gz", "batch-0001/public.users.detached.copy.gz"]);
    assert_eq!(store.check("r-1", &[(1, hash)]).unwrap().0, 2);
}

#[test]
fn plain_gunzip_reads_a_part() {
    let (folder, mut store) = open();
    let text = lines(0, 200_000);
    archive(&mut store, &text);
    let path = folder.path().join("archive/r-1/batch-0001/public.users.copy.gz");
    let output = Command::new("gunzip").arg("-c").arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == text && output.stderr.is_empty());
}

#[test]
fn sections_may_follow_after_a_first_finish() {
    let (_folder, mut store) = open();
    let mut batch = store.begin_batch("r-1", 1).unwrap();
    batch.begin(head("users", SectionKind::Rows)).unwrap();
    batch.write(b"1\ta\n").unwrap();
    batch.end(1).unwrap();
    let (_, first) = batch.finish().unwrap();
    batch.begin(head("log", SectionKind::Effect)).unwrap();
    batch.write(b"2\tb\n").unwrap();
    batch.end(1).unwrap();
    let (_, second) = batch.finish().unwrap();
    assert_ne!(first, second);
    assert_eq!(read_all(&mut store, &second).unwrap().len(), 2);
    assert_eq!(read_all(&mut store, &first).unwrap_err().category, Category::Archive);
}

#[test]
fn beginning_again_removes_what_an_earlier_attempt_left() {
    let (folder, mut store) = open();
    archive(&mut store, &lines(0, 10));
    let mut batch = store.begin_batch("r-1", 1).unwrap();
    batch.begin(head("other", SectionKind::Rows)).unwrap();
    batch.write(b"1\ta\n").unwrap();
    drop(batch);
    assert!(!folder.path().join("archive/r-1/batch-0001/public.users.copy.gz").exists());
    store.discard("r-1", 1).unwrap();
    store.discard("r-1", 1).unwrap();
    assert!(!folder.path().join("archive/r-1/batch-0001").exists());
}

/// Damages one file of an archive and returns what reading and checking say.
#[track_caller]
fn after(file: &str, damage: impl FnOnce(&Path)) -> String {
    let (folder, mut store) = open();
    let hash = archive(&mut store, &lines(0, 100_000));
    damage(&folder.path().join("archive/r-1/batch-0001").join(file));
    let fault = read_all(&mut store, &hash).unwrap_err();
    assert_eq!(store.check("r-1", &[(1, hash)]).unwrap_err(), fault);
    assert_eq!(fault.category, Category::Archive);
    fault.message.replace(&folder.path().display().to_string(), "")
}

#[test]
fn missing_cut_and_changed_files_are_refused_by_name() {
    const PART: &str = "public.users.copy.gz";
    let message = after(PART, |path| fs::remove_file(path).unwrap());
    assert_eq!(message, "archive file `/archive/r-1/batch-0001/public.users.copy.gz` is missing");
    let message = after(PART, |path| fs::write(path, &fs::read(path).unwrap()[..1000]).unwrap());
    assert!(message.contains("is cut short: 1000 of "), "{message}");
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    assert!(after(PART, flip).ends_with("is damaged: its hash differs from the manifest's"));
    assert!(after("batch.json", flip).ends_with("is damaged: its hash differs from the recorded one"));
    assert!(after("batch.json", |path| fs::remove_file(path).unwrap()).ends_with("batch.json` is missing"));
}

#[test]
fn a_place_that_cannot_be_written_is_told_before_the_run() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let fault = FolderArchive::new(folder.path().join("file"), "copy").prepare("r-1").unwrap_err();
    assert_eq!(fault.category, Category::Archive);
    assert!(fault.message.starts_with("archive `"), "{}", fault.message);
    assert!(fault.hint.contains("--state"), "{}", fault.hint);
}

#[test]
fn the_id_of_a_run_never_leads_out_of_the_folder() {
    let (_folder, mut store) = open();
    for id in ["", "..", "../x", "a/b/c", "a/..", "/etc"] {
        assert_eq!(store.prepare(id).unwrap_err().category, Category::Usage, "{id}");
    }
}

/// A disk of a few hundred kilobytes, where this process may mount one.
#[cfg(target_os = "linux")]
struct SmallDisk(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0.path()).status());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_fails_the_batch_and_says_so() {
    fails_on_a_full_disk(Sealing::Open, "public.users.copy.gz");
    fails_on_a_full_disk(Sealing::To(recipients().1), "public.users.copy.gz.age");
}

#[cfg(target_os = "linux")]
#[track_caller]
fn fails_on_a_full_disk(sealing: Sealing, file: &str) {
    // Where nothing can be mounted, a link to the device that is always full stands in for the part's file.
    let disk = SmallDisk::mount("600k");
    let folder = tempfile::tempdir().unwrap();
    let root = disk.as_ref().map_or(folder.path(), |disk| disk.0.path()).join("archive");
    let mut store = FolderArchive::new(&root, "copy").sealed(sealing);
    store.prepare("r-1").unwrap();
    let mut batch = store.begin_batch("r-1", 1).unwrap();
    if disk.is_none() {
        std::os::unix::fs::symlink("/dev/full", root.join("r-1/batch-0001").join(file)).unwrap();
    }
    let mut noise = blake3::Hasher::new().finalize_xof();
    let mut write = || {
        batch.begin(head("users", SectionKind::Rows))?;
        let mut chunk = vec![0; MIB];
        for _ in 0..20 {
            noise.fill(&mut chunk);
            batch.write(&chunk)?;
        }
        batch.end(1)?;
        batch.finish()
    };
    let fault = write().unwrap_err();
    assert_eq!(fault.category, Category::Archive);
    assert!(fault.message.ends_with("cannot be written: the disk is full"), "{}", fault.message);
    drop(batch);
    store.discard("r-1", 1).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_already_is_told_before_the_run() {
    let Some(disk) = SmallDisk::mount("64k") else { return };
    let fault = FolderArchive::new(disk.0.path().join("archive"), "copy").prepare("r-1").unwrap_err();
    assert!(fault.message.ends_with("the disk is full"), "{}", fault.message);
}

const MIB: usize = 1 << 20;

#[cfg(unix)]
#[test]
fn archives_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, mut store) = open();
    archive(&mut store, &lines(0, 10));
    let mode = |name: &str| {
        fs::metadata(folder.path().join("archive/r-1").join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode(""), mode("batch-0001"), mode("batch-0001/batch.json")), (0o700, 0o700, 0o600));
    assert_eq!(mode("batch-0001/public.users.copy.gz"), 0o600);
}

/// The state database was lost and counts from one again: what it no longer knows is not overwritten.
#[test]
fn the_archive_of_an_unknown_run_is_never_overwritten() {
    let (_folder, mut store) = open();
    let hash = archive(&mut store, &lines(0, 3));
    let fault = store.prepare("r-1").unwrap_err();
    assert_eq!(fault.category, Category::Archive);
    assert!(fault.message.contains("does not know") && fault.hint.contains("safe place"), "{fault:?}");
    assert_eq!(read_all(&mut store, &hash).unwrap()[0], lines(0, 3));
    store.prepare("r-2").unwrap();
    store.prepare("r-2").unwrap();
}

/// A new key pair.
fn recipients() -> (Identities, Recipients) {
    use age::secrecy::ExposeSecret;
    let pair = age::x25519::Identity::generate();
    let mut recipients = Recipients::default();
    recipients.add(&pair.to_public().to_string(), "the test").unwrap();
    (Identities::parse(pair.to_string().expose_secret(), "the test").unwrap(), recipients)
}

fn keys(identities: Identities) -> Unlock {
    Unlock { identities: Some(Ok(identities)), passphrase: None, reads_inside: true }
}

#[test]
fn encrypted_sections_come_back_byte_for_byte_for_their_key_alone() {
    let (folder, store) = open();
    let (identities, to) = recipients();
    let mut store = store.sealed(Sealing::To(to.clone())).unlocked(keys(identities));
    let text = lines(0, 200_000);
    let hash = archive(&mut store, &text);
    assert_eq!(read_all(&mut store, &hash).unwrap(), [text, b"7\t\\N\n".to_vec()]);
    assert_eq!(store.check("r-1", &[(1, hash.clone())]).unwrap().0, 2);
    let manifest = store.batch("r-1", 1, &hash).unwrap();
    assert_eq!(manifest.recipients, to.shown());
    assert_eq!(manifest.parts[0].file, "batch-0001/public.users.copy.gz.age");
    let path = folder.path().join("archive/r-1").join(&manifest.parts[0].file);
    assert_eq!(fs::metadata(path).unwrap().len(), manifest.parts[0].bytes_compressed);
    let mut other = store.clone().unlocked(keys(recipients().0));
    let fault = read_all(&mut other, &hash).unwrap_err();
    assert_eq!((fault.category, fault.details.len()), (Category::Usage, 1));
    let mut none = store.unlocked(Unlock::default());
    assert!(read_all(&mut none, &hash).unwrap_err().message.contains("no key was given"));
    assert_eq!(none.check("r-1", &[(1, hash)]).unwrap().0, 2, "hashes need no key");
}

#[test]
fn an_encrypted_file_that_ends_early_is_never_a_shorter_text() {
    let (folder, store) = open();
    let (identities, to) = recipients();
    let mut store = store.sealed(Sealing::To(to)).unlocked(keys(identities));
    let hash = archive(&mut store, &lines(0, 100_000));
    let mut part = store.batch("r-1", 1, &hash).unwrap().parts.remove(0);
    let run = folder.path().join("archive/r-1");
    let whole = fs::read(run.join(&part.file)).unwrap();
    let lock = store.lock(&run, &[store.clone().batch("r-1", 1, &hash).unwrap()]).unwrap();
    // Even where its own hash would agree, as if it had been cut before it was hashed.
    for cut in [0, 10, 150, 300, 65_536 + 200, 2 * 65_552 + 216, whole.len() - 1] {
        let cut = cut.min(whole.len() - 1);
        fs::write(run.join(&part.file), &whole[..cut]).unwrap();
        part.bytes_compressed = u64::try_from(cut).unwrap();
        part.hash = hash_of(&whole[..cut]);
        let (path, file) = reader::verified(&run, &part).unwrap();
        let fault = survey::read_inside(&run, (&path, file), &part, &lock).unwrap_err();
        assert_eq!(fault.category, Category::Archive, "cut at {cut}");
        assert!(fault.message.contains("is damaged"), "cut at {cut}: {}", fault.message);
    }
}

#[test]
fn a_run_goes_on_with_the_recipients_it_began_with() {
    let (_folder, mut store) = open();
    let (_, to) = recipients();
    store.seal(to.shown()).unwrap();
    assert_eq!(store.recipients(), to.shown());
    store.seal(&[]).unwrap();
    assert!(store.recipients().is_empty());
    assert_eq!(store.seal(&["nonsense".to_owned()]).unwrap_err().category, Category::Archive);
}
