//! What can be wrong with an archive's files, told in three parts.
//!
//! Not here: finding out (`reader`, `writer`).

use std::io;
use std::path::Path;
use unseed_core::fault::{Category, Fault};

fn fault(message: String) -> Fault {
    Fault::new(Category::Archive, message)
}

/// A file or folder of an archive that cannot be written.
pub(super) fn unwritable(path: &Path, error: &io::Error) -> Fault {
    let shown = path.display();
    let kind = error.kind();
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge];
    if full.contains(&kind) {
        return fault(format!("archive `{shown}` cannot be written: the disk is full"))
            .state("rows that are not archived are not removed; finished batches are archived and complete")
            .hint("free some disk space, or choose another place with `--state DIR`");
    }
    let forbidden = [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem].contains(&kind);
    let message = if forbidden { "is not writable" } else { "cannot be written" };
    fault(format!("archive `{shown}` {message}: {error}"))
        .state("rows that are not archived are not removed")
        .hint("make the folder writable, or choose another place with `--state DIR`")
}

/// A folder that holds the archive of a run that the state database does not know.
pub(super) fn taken(path: &Path) -> Fault {
    fault(format!("archive folder `{}` belongs to a run that the state database does not know", path.display()))
        .state("nothing was changed; the folder may be the only copy of the rows in it")
        .hint("bring back the state database that it belongs to, or move the folder to a safe place and run the command again")
}

/// A file of an archive that is not there or cannot be read.
pub(super) fn missing(path: &Path, error: &io::Error) -> Fault {
    let shown = path.display();
    let message = if error.kind() == io::ErrorKind::NotFound {
        format!("archive file `{shown}` is missing")
    } else {
        format!("archive file `{shown}` cannot be read: {error}")
    };
    fault(message).hint(BRING_BACK)
}

/// A file that is shorter or longer than its manifest says.
pub(super) fn wrong_length(path: &Path, found: u64, wanted: u64) -> Fault {
    let how = if found < wanted { "cut short" } else { "too long" };
    fault(format!("archive file `{}` is {how}: {found} of {wanted} bytes", path.display())).hint(BRING_BACK)
}

/// A file whose bytes are not those that were archived.
pub(super) fn damaged(path: &Path) -> Fault {
    fault(format!("archive file `{}` is damaged: its hash differs from the manifest's", path.display()))
        .hint(BRING_BACK)
}

/// A batch manifest that is not the one that the state database knows.
pub(super) fn damaged_manifest(path: &Path) -> Fault {
    let message =
        format!("archive manifest `{}` is damaged: its hash differs from the recorded one", path.display());
    fault(message).hint(BRING_BACK)
}

const BRING_BACK: &str = "bring the file back from a copy of the archive folder, then run the command again; the other files are \
     not affected";
