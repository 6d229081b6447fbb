//! Archives in memory. What was not finished is lost with its writer, as a file that was never synced.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use unseed_core::archive::{BatchManifest, Manifest, Part, Tombstone};
use unseed_core::fault::{Category, Fault};
use unseed_core::keys::KeyFile;
use unseed_core::port::archive::{ArchiveStore, BatchWriter};
use unseed_core::port::store::{ArchiveSink, ArchiveSource, SectionEntry, SectionHead};

/// A handle on the archives.
#[derive(Debug, Clone, Default)]
pub struct MemArchive(Arc<Mutex<Content>>);

type Files = BTreeMap<String, Vec<u8>>;

#[derive(Debug, Default)]
struct Content {
    /// Durable batches: their manifests, and the files these name.
    batches: BTreeMap<(String, u64), (BatchManifest, Files)>,
    manifests: BTreeMap<String, Manifest>,
    published: BTreeMap<String, BTreeMap<String, String>>,
    tombstones: BTreeMap<String, Tombstone>,
}

impl MemArchive {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().expect("no test panics while it holds the archives")
    }

    /// Numbers of the durable batches of a run.
    pub fn batch_numbers(&self, run: &str) -> Vec<u64> {
        self.lock().batches.keys().filter(|(owner, _)| owner == run).map(|(_, number)| *number).collect()
    }

    /// The lines of all sections of a batch that hold removed rows, with their table.
    pub fn removed_lines(&self, run: &str, batch: u64) -> Vec<(String, String)> {
        let content = self.lock();
        let Some((manifest, files)) = content.batches.get(&(run.to_owned(), batch)) else {
            return Vec::new();
        };
        let rows =
            manifest.parts.iter().filter(|p| p.head.kind == unseed_core::port::store::SectionKind::Rows);
        rows.flat_map(|part| {
            let text = String::from_utf8_lossy(&files[&part.file]).into_owned();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.into_iter().map(|line| (part.head.table.clone(), line))
        })
        .collect()
    }

    /// Whether any file with rows of a run is there.
    pub fn holds_rows(&self, run: &str) -> bool {
        let content = self.lock();
        content.batches.iter().any(|((owner, _), (_, files))| owner == run && !files.is_empty())
    }

    /// The published files of a run, by name.
    pub fn published(&self, run: &str) -> BTreeMap<String, String> {
        self.lock().published.get(run).cloned().unwrap_or_default()
    }

    /// The published manifest of a run.
    pub fn manifest(&self, run: &str) -> Option<Manifest> {
        self.lock().manifests.get(run).cloned()
    }

    /// Changes one byte of every part of a batch.
    pub fn corrupt(&self, run: &str, batch: u64) {
        let mut content = self.lock();
        if let Some((_, files)) = content.batches.get_mut(&(run.to_owned(), batch)) {
            for byte in files.values_mut().filter_map(|file| file.first_mut()) {
                *byte ^= 1;
            }
        }
    }
}

fn hash_of(bytes: &[u8]) -> String {
    format!("blake3:{}", blake3::hash(bytes).to_hex())
}

fn manifest_hash(manifest: &BatchManifest) -> String {
    hash_of(&serde_json::to_vec(manifest).expect("a manifest is plain data"))
}

fn damaged(what: &str) -> Fault {
    Fault::new(Category::Archive, format!("archive part `{what}` does not match its hash"))
}

impl Content {
    fn batch(&self, run: &str, batch: u64, hash: &str) -> Result<&(BatchManifest, Files), Fault> {
        let found = self.batches.get(&(run.to_owned(), batch));
        let found = found.filter(|(manifest, _)| manifest_hash(manifest) == hash);
        found.ok_or_else(|| damaged(&format!("{run}/{batch}")))
    }

    fn checked(&self, run: &str, batches: &[(u64, String)]) -> Result<Vec<(u64, Part, Vec<u8>)>, Fault> {
        let mut parts = Vec::new();
        for (number, hash) in batches {
            let (manifest, files) = self.batch(run, *number, hash)?;
            for part in &manifest.parts {
                let bytes = files.get(&part.file).filter(|bytes| hash_of(bytes) == part.hash);
                let bytes = bytes.ok_or_else(|| damaged(&part.file))?;
                parts.push((*number, part.clone(), bytes.clone()));
            }
        }
        Ok(parts)
    }
}

impl ArchiveStore for MemArchive {
    fn prepare(&mut self, _: &str) -> Result<(), Fault> {
        Ok(())
    }

    fn begin_batch(&mut self, run: &str, batch: u64) -> Result<Box<dyn BatchWriter>, Fault> {
        self.lock().batches.remove(&(run.to_owned(), batch));
        Ok(Box::new(Writer { archive: self.clone(), run: run.to_owned(), batch, sections: Vec::new() }))
    }

    fn discard(&mut self, run: &str, batch: u64) -> Result<(), Fault> {
        self.lock().batches.remove(&(run.to_owned(), batch));
        Ok(())
    }

    fn batch(&mut self, run: &str, batch: u64, hash: &str) -> Result<BatchManifest, Fault> {
        Ok(self.lock().batch(run, batch, hash)?.0.clone())
    }

    fn publish(
        &mut self,
        manifest: &Manifest,
        scripts: &[(String, String)],
        keys: &[KeyFile<'_>],
    ) -> Result<(), Fault> {
        let mut content = self.lock();
        content.manifests.insert(manifest.run.clone(), manifest.clone());
        let keys = keys.iter().map(|file| (file.name.to_owned(), file.lines().collect()));
        content.published.insert(manifest.run.clone(), scripts.iter().cloned().chain(keys).collect());
        Ok(())
    }

    fn open(&mut self, run: &str, batches: &[(u64, String)]) -> Result<Box<dyn ArchiveSource>, Fault> {
        Ok(Box::new(Source { parts: self.lock().checked(run, batches)? }))
    }

    fn check(&mut self, run: &str, batches: &[(u64, String)]) -> Result<(u64, u64), Fault> {
        let parts = self.lock().checked(run, batches)?;
        Ok((super::length(&parts), parts.iter().map(|(_, part, _)| part.bytes_compressed).sum()))
    }

    fn tombstone(&mut self, run: &str) -> Result<Option<Tombstone>, Fault> {
        Ok(self.lock().tombstones.get(run).cloned())
    }

    fn expire(&mut self, tombstone: &Tombstone) -> Result<(u64, u64), Fault> {
        let mut content = self.lock();
        content.tombstones.insert(tombstone.run.clone(), tombstone.clone());
        let mut removed = (0, 0);
        for entry in &tombstone.batches {
            let batch = content.batches.get_mut(&(tombstone.run.clone(), entry.batch));
            for (_, bytes) in batch.map(|(_, files)| std::mem::take(files)).unwrap_or_default() {
                removed = (removed.0 + 1, removed.1 + super::length(&bytes));
            }
        }
        Ok(removed)
    }

    fn location(&self, run: &str) -> String {
        format!("memory/{run}")
    }
}

struct Writer {
    archive: MemArchive,
    run: String,
    batch: u64,
    sections: Vec<(SectionHead, Vec<u8>, Option<u64>)>,
}

impl ArchiveSink for Writer {
    fn begin(&mut self, head: SectionHead) -> Result<(), Fault> {
        if self.sections.last().is_some_and(|(_, _, rows)| rows.is_none()) {
            return Err(Fault::new(Category::Archive, "a section was begun inside another"));
        }
        self.sections.push((head, Vec::new(), None));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let section = self.sections.last_mut().filter(|(_, _, rows)| rows.is_none());
        let (_, content, _) = section.ok_or_else(|| Fault::new(Category::Archive, "no section is open"))?;
        content.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, rows: u64) -> Result<(), Fault> {
        let section = self.sections.last_mut().filter(|(_, _, rows)| rows.is_none());
        let (_, _, counted) = section.ok_or_else(|| Fault::new(Category::Archive, "no section is open"))?;
        *counted = Some(rows);
        Ok(())
    }
}

impl BatchWriter for Writer {
    fn finish(&mut self) -> Result<(String, String), Fault> {
        let (mut parts, mut files) = (Vec::new(), Files::new());
        let folder = format!("batch-{:04}", self.batch);
        for (index, (head, bytes, rows)) in self.sections.iter().enumerate() {
            let rows = rows.ok_or_else(|| Fault::new(Category::Archive, "a section was not ended"))?;
            let file = format!("{folder}/{index}-{}.jsonl", head.table);
            let size = super::length(bytes);
            let hash = hash_of(bytes);
            let head = head.clone();
            parts.push(Part {
                head,
                file: file.clone(),
                rows,
                bytes: size,
                bytes_compressed: size,
                hash,
                hash_inside: None,
            });
            files.insert(file, bytes.clone());
        }
        let manifest = BatchManifest { batch: self.batch, recipients: Vec::new(), parts };
        let hash = manifest_hash(&manifest);
        self.archive.lock().batches.insert((self.run.clone(), self.batch), (manifest, files));
        Ok((folder, hash))
    }

    fn sink(&mut self) -> &mut dyn ArchiveSink {
        self
    }
}

struct Source {
    parts: Vec<(u64, Part, Vec<u8>)>,
}

impl ArchiveSource for Source {
    fn sections(&self) -> Vec<SectionEntry> {
        let entry = |(batch, part, _): &(u64, Part, Vec<u8>)| SectionEntry {
            batch: *batch,
            head: part.head.clone(),
            rows: part.rows,
        };
        self.parts.iter().map(entry).collect()
    }

    fn read(&mut self, index: usize, visit: &mut dyn FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        const CHUNK_BYTES: usize = 7;
        self.parts[index].2.chunks(CHUNK_BYTES).try_for_each(visit)
    }
}
