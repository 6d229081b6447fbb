//! Between two batches: whether the next one may begin, and waiting until it may.
//!
//! Invariants
//! - while a run waits it holds no lock and has no transaction open;
//! - what is decided by is never older than one probe may take and a few pauses;
//! - however a wait ends, the report says how long it was and what for.
//!
//! Not here: the decision (`core::throttle`), measuring (`io::store`).

use crate::ahead::Ahead;
use crate::batches::Stop;
use crate::context::{Context, Live};
use crate::session::Session;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use unseed_core::fault::{Category, Fault};
use unseed_core::port::clock::Clock;
use unseed_core::port::gauges::Gauges;
use unseed_core::throttle::{
    Cause, Decision, Governor, Opening, PROBE_EVERY_MS, Reason, Sensed, Throttle, Window, spelled,
};

/// Longest time that the first look may take, which has to connect.
const FIRST_LOOK: Duration = Duration::from_secs(20);
/// Pauses that may pass until a look counts as old.
const PAUSES_MAX: u64 = 5;

/// How a run keeps pace with others.
#[derive(Default)]
pub(crate) struct Pace {
    governor: Governor,
    sensor: Option<Sensor>,
    window: Option<Window>,
}

impl Pace {
    pub(crate) fn new(live: &Live) -> Self {
        let governor = Governor::new(live.throttle.clone());
        Self { governor, sensor: None, window: live.window.clone() }
    }

    /// Looks at the store from here on.
    pub(crate) fn begin(&mut self, gauges: Option<Box<dyn Gauges>>) {
        self.sensor = gauges.map(|gauges| Sensor::start(gauges, self.governor.throttle()));
    }

    /// Looks no more.
    pub(crate) fn end(&mut self) {
        self.sensor = None;
    }

    pub(crate) fn throttle(&self) -> &Throttle {
        self.governor.throttle()
    }

    /// Notes a batch that began at `begun_ms`.
    pub(crate) fn removed(&mut self, begun_ms: u64, rows: u64) {
        self.governor.removed(begun_ms, rows);
    }

    fn decide(&mut self, clock: &dyn Clock, now_ms: u64) -> Decision {
        let sensed = self.sensor.as_ref().map_or(Sensed::Unasked, Sensor::latest);
        let opening = self.throttle().window.as_ref().map_or(Opening::Open, |window| opening(clock, window));
        self.governor.decide(now_ms, &sensed, opening)
    }
}

/// A task that looks at the store again and again.
struct Sensor {
    latest: watch::Receiver<(Instant, Sensed)>,
    old_after: Duration,
    task: JoinHandle<()>,
}

impl Sensor {
    fn start(gauges: Box<dyn Gauges>, throttle: &Throttle) -> Self {
        let limit = Duration::from_millis(throttle.probe_ms_max);
        let old_after = limit + Duration::from_millis(PAUSES_MAX * PROBE_EVERY_MS);
        let first = Sensed::Failed("the store has not been looked at yet".to_owned());
        let (sender, latest) = watch::channel((Instant::now(), first));
        Self { latest, old_after, task: tokio::spawn(look(gauges, limit, sender)) }
    }

    fn latest(&self) -> Sensed {
        let (at, sensed) = &*self.latest.borrow();
        if at.elapsed() > self.old_after {
            let ms = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
            return Sensed::Failed(format!("the store was last looked at {} ago", spelled(ms)));
        }
        sensed.clone()
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(mut gauges: Box<dyn Gauges>, limit: Duration, latest: watch::Sender<(Instant, Sensed)>) {
    loop {
        let sensed = match tokio::time::timeout(limit, gauges.read()).await {
            Ok(Ok(readings)) => Sensed::Read(readings),
            Ok(Err(fault)) => Sensed::Failed(fault.message),
            Err(_) => {
                let ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
                Sensed::Failed(format!("the store did not answer the probe within {}", spelled(ms)))
            }
        };
        if latest.send((Instant::now(), sensed)).is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(PROBE_EVERY_MS)).await;
    }
}

fn opening(clock: &dyn Clock, window: &Window) -> Opening {
    match clock.minute_of_day(window.zone()) {
        None => Opening::Unknown,
        Some(minute) if window.contains(minute) => Opening::Open,
        Some(minute) => Opening::Closed { minute },
    }
}

/// Whether a run may begin at all: before a plan is used up, and before a run goes on.
///
/// # Errors
/// `Refused` outside of the maintenance window; a store fault when what the throttle asks for cannot be measured.
pub(crate) async fn preflight(cx: &mut Context<'_>) -> Result<(), Fault> {
    for window in cx.live.window.iter().chain(&cx.live.throttle.window) {
        if cx.clock.minute_of_day(window.zone()).is_none() {
            return Err(Fault::usage(format!("the time zone `{}` is not known", window.zone()))
                .hint("write an IANA name such as Europe/Berlin, or UTC"));
        }
    }
    if let Some(window) = &cx.live.window
        && opening(cx.clock, window) != Opening::Open
    {
        return Err(Fault::refused(format!("it is outside of the maintenance window {window}"))
            .hint("run the command again when it is open"));
    }
    let asked = cx.live.throttle.measured();
    let Some(gauges) = cx.live.gauges.as_mut() else {
        if asked.is_empty() {
            return Ok(());
        }
        return Err(Fault::usage(format!("this store cannot be measured for {}", asked.join(", ")))
            .hint("take them out of `[throttle]`"));
    };
    match tokio::time::timeout(FIRST_LOOK, gauges.read()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(fault)) => Err(fault),
        Err(_) => Err(Fault::store("the store did not answer the first probe of the throttle")
            .hint("run the command again when it answers")),
    }
}

/// Waits until the next batch may begin.
///
/// # Errors
/// Why the run ends before it.
pub(crate) async fn admit(session: &mut Session<'_, '_>, ahead: &mut Option<Ahead>) -> Result<(), Stop> {
    let mut before = None;
    loop {
        if let Some(stop) = asked_to_end(session) {
            return Err(stop);
        }
        let now_ms = session.cx.clock.monotonic_ms();
        let reason = match session.pace.decide(session.cx.clock, now_ms) {
            Decision::Go => return Ok(()),
            Decision::Stop(reason) => return Err(Stop::between(Fault::store(reason.says))),
            Decision::Wait(reason) => reason,
        };
        if let Some(ahead) = ahead {
            // It reads, and what reads has a transaction.
            ahead.read_to_its_end().await;
        }
        if reason.cause != Cause::RowRate {
            // Pauses of a moment are what a rate is made of.
            session.cx.progress.waiting(&format!("waiting: {reason}"));
        }
        let due_ms = session.pace.governor.due_in_ms(now_ms);
        let nap_ms = if due_ms > 0 { due_ms.min(PROBE_EVERY_MS) } else { PROBE_EVERY_MS };
        tokio::time::sleep(Duration::from_millis(nap_ms)).await;
        let took_ms = session.cx.clock.monotonic_ms().saturating_sub(now_ms);
        let again = before.replace(reason.cause) == Some(reason.cause);
        count(session, &reason, took_ms, again);
    }
}

fn count(session: &mut Session<'_, '_>, reason: &Reason, took_ms: u64, again: bool) {
    let figures = session.report.waits.entry(reason.cause.as_str().to_owned()).or_default();
    figures.ms += took_ms;
    figures.times += u64::from(!again);
    figures.last.clone_from(&reason.says);
}

/// A person, or the end of the maintenance window.
fn asked_to_end(session: &Session<'_, '_>) -> Option<Stop> {
    if session.cx.interrupt.is_requested() {
        return Some(Fault::new(Category::Interrupted, "interrupted").into());
    }
    match &session.pace.window {
        Some(window) if opening(session.cx.clock, window) != Opening::Open => {
            let fault = Fault::store(format!("the maintenance window {window} has ended"));
            Some(Stop::between(fault.hint("wait until it is open")))
        }
        Some(_) | None => None,
    }
}
