//! Sections that are read at one time and written to their archive at another.

use async_trait::async_trait;
use unseed_core::fault::Fault;
use unseed_core::port::store::{ArchiveSink, Archived, Reader, SectionHead};

/// What a sink was told.
#[derive(Debug)]
enum Told {
    Begin(SectionHead),
    Write(Vec<u8>),
    End(u64),
}

/// A sink that remembers.
#[derive(Debug, Default)]
pub(super) struct Sections(Vec<Told>);

impl ArchiveSink for Sections {
    fn begin(&mut self, head: SectionHead) -> Result<(), Fault> {
        self.0.push(Told::Begin(head));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.0.push(Told::Write(bytes.to_vec()));
        Ok(())
    }

    fn end(&mut self, rows: u64) -> Result<(), Fault> {
        self.0.push(Told::End(rows));
        Ok(())
    }
}

/// A batch as it was when its reader was made.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub(super) sections: Sections,
    pub(super) archived: Archived,
}

#[async_trait]
impl Reader for Recorded {
    async fn read(&mut self, sink: &mut dyn ArchiveSink) -> Result<Archived, Fault> {
        for told in self.sections.0.drain(..) {
            match told {
                Told::Begin(head) => sink.begin(head)?,
                Told::Write(bytes) => sink.write(&bytes)?,
                Told::End(rows) => sink.end(rows)?,
            }
        }
        Ok(self.archived.clone())
    }
}
