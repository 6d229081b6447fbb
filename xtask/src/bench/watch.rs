//! One process, its wall time and the most memory it ever held.
//!
//! Memory is the high-water mark that Linux keeps per process; where there is none, it stays unknown.

use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The mark only grows, so the last look before the end is nearly the end's.
const LOOK_EVERY: Duration = Duration::from_millis(4);

/// A finished process.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) seconds: f64,
    pub(super) peak_mib: Option<f64>,
    pub(super) stdout: String,
}

/// Runs the command to its end. Its output goes through files in `folder`, so that nobody waits for a reader.
pub(super) fn run(command: &mut Command, folder: &Path, codes: &[i32]) -> Result<Watched> {
    let (out, err) = (folder.join("stdout.txt"), folder.join("stderr.txt"));
    command.stdout(File::create(&out)?).stderr(File::create(&err)?);
    let begun = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{command:?} did not start"))?;
    let (status, peak_kib, seconds) = wait(&mut child, begun)?;
    if !status.code().is_some_and(|code| codes.contains(&code)) {
        let said = std::fs::read_to_string(&err).unwrap_or_default();
        bail!("{command:?} failed ({status})\n{said}");
    }
    let stdout = std::fs::read_to_string(&out).with_context(|| format!("`{}`", out.display()))?;
    let peak_mib = (peak_kib > 0).then(|| figure(peak_kib) / 1024.0);
    Ok(Watched { seconds, peak_mib, stdout })
}

fn wait(child: &mut Child, begun: Instant) -> Result<(ExitStatus, u64, f64)> {
    let status_file = format!("/proc/{}/status", child.id());
    let (peak_kib, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                if let Some(kib) = high_water_mark(&status_file) {
                    peak_kib.fetch_max(kib, Ordering::Relaxed);
                }
                std::thread::sleep(LOOK_EVERY);
            }
        });
        let status = child.wait();
        let seconds = begun.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        Ok((status?, peak_kib.load(Ordering::Relaxed), seconds))
    })
}

fn high_water_mark(status_file: &str) -> Option<u64> {
    let text = std::fs::read_to_string(status_file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Whole numbers of ordinary size, exactly.
fn figure(number: u64) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_timed_and_its_output_kept() {
        let folder = std::env::temp_dir();
        let watched = run(Command::new("sh").args(["-c", "sleep 0.05; echo done"]), &folder, &[0]).unwrap();
        assert_eq!(watched.stdout, "done\n");
        assert!(watched.seconds >= 0.05);
    }

    #[test]
    fn an_unexpected_code_is_an_error_with_its_words() {
        let folder = std::env::temp_dir().join(format!("unseed-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let error = run(Command::new("sh").args(["-c", "echo why >&2; exit 3"]), &folder, &[0]).unwrap_err();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(error.to_string().contains("why"), "{error}");
    }
}
