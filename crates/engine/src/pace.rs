//! Between two batches: whether the next one may begin, and waiting until it may.
//!
//! Invariants
//! - while a run waits it holds no lock and has no transaction open;
//! - what is decided by is never older than one probe may take and a few pauses;
//! - however a wait ends, the report says how long it was and what for;
//! - a leg of a run over several stores is held back by the store that the others follow from, and by its own.
//!
//! Not here: the decision (`core::throttle`), measuring (`io::store`).

use crate::ahead::Ahead;
use crate::batches::Stop;
use crate::context::{Context, Live};
use crate::interrupt::Interrupt;
use crate::report::WaitFigures;
use crate::session::Session;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use unseed_core::fault::{Category, Fault};
use unseed_core::port::clock::Clock;
use unseed_core::port::gauges::Gauges;
use unseed_core::port::progress::Progress;
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
    sensor: Option<Arc<Sensor>>,
    others: Vec<Follower>,
    window: Option<Window>,
}

/// A store that follows from the one that the sensor of a pace looks at.
struct Follower {
    store: String,
    governor: Governor,
    sensor: Arc<Sensor>,
}

impl Follower {
    fn decide(&mut self, now_ms: u64) -> Decision {
        let named =
            |reason: Reason| Reason { says: format!("store `{}`: {}", self.store, reason.says), ..reason };
        match self.governor.decide(now_ms, &self.sensor.latest(), Opening::Open) {
            Decision::Go => Decision::Go,
            Decision::Wait(reason) => Decision::Wait(named(reason)),
            Decision::Stop(reason) => Decision::Stop(named(reason)),
        }
    }
}

/// What looks at the stores of a run over several, from its first closure to its last batch.
#[derive(Clone, Default)]
pub struct Senses {
    source: Option<Arc<Sensor>>,
    followers: BTreeMap<String, Arc<Sensor>>,
}

impl Senses {
    /// Looks at the store that the others follow from.
    pub(crate) fn begin(&mut self, gauges: Box<dyn Gauges>, throttle: &Throttle) {
        self.source = Some(Arc::new(Sensor::start(gauges, throttle)));
    }

    /// Looks at a store that follows.
    pub(crate) fn follow(&mut self, store: &str, gauges: Box<dyn Gauges>, throttle: &Throttle) {
        let sensor = Sensor::start(gauges, &throttle.of_follower());
        self.followers.insert(store.to_owned(), Arc::new(sensor));
    }

    /// What the work in one store goes by.
    pub(crate) fn of(&self, store: &str) -> Self {
        let own = self.followers.get_key_value(store);
        let followers = own.map(|(name, sensor)| (name.clone(), Arc::clone(sensor))).into_iter().collect();
        Self { source: self.source.clone(), followers }
    }
}

/// Where a run waits.
pub(crate) struct Surroundings<'a> {
    pub(crate) clock: &'a dyn Clock,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) waits: &'a mut BTreeMap<String, WaitFigures>,
}

impl Pace {
    pub(crate) fn new(live: &Live) -> Self {
        let follower = |(store, sensor): (&String, &Arc<Sensor>)| Follower {
            store: store.clone(),
            governor: Governor::new(live.throttle.of_follower()),
            sensor: Arc::clone(sensor),
        };
        Self {
            governor: Governor::new(live.throttle.clone()),
            sensor: live.senses.source.clone(),
            others: live.senses.followers.iter().map(follower).collect(),
            window: live.window.clone(),
        }
    }

    /// Looks at the store from here on.
    pub(crate) fn begin(&mut self, gauges: Option<Box<dyn Gauges>>) {
        if let Some(gauges) = gauges {
            self.sensor = Some(Arc::new(Sensor::start(gauges, self.governor.throttle())));
        }
    }

    /// Looks no more.
    pub(crate) fn end(&mut self) {
        self.sensor = None;
        self.others.clear();
    }

    pub(crate) fn throttle(&self) -> &Throttle {
        self.governor.throttle()
    }

    /// Notes a batch that began at `begun_ms`.
    pub(crate) fn removed(&mut self, begun_ms: u64, rows: u64) {
        self.governor.removed(begun_ms, rows);
    }

    /// Whether no window keeps the run from going on at this moment.
    pub(crate) fn is_open(&self, clock: &dyn Clock) -> bool {
        let mut windows = self.window.iter().chain(&self.throttle().window);
        windows.all(|window| opening(clock, window) == Opening::Open)
    }

    fn decide(&mut self, clock: &dyn Clock, now_ms: u64) -> Decision {
        let sensed = self.sensor.as_ref().map_or(Sensed::Unasked, |sensor| sensor.latest());
        let opening = self.throttle().window.as_ref().map_or(Opening::Open, |window| opening(clock, window));
        let own = self.governor.decide(now_ms, &sensed, opening);
        self.others.iter_mut().map(|other| other.decide(now_ms)).fold(own, graver)
    }

    /// Waits until the next batch may begin; returns for how many milliseconds others were waited for.
    ///
    /// # Errors
    /// Why the run ends before it.
    pub(crate) async fn wait(
        &mut self,
        here: &mut Surroundings<'_>,
        ahead: &mut Option<Ahead>,
    ) -> Result<u64, Stop> {
        let (mut before, mut others_ms) = (None, 0);
        loop {
            if let Some(stop) = self.asked_to_end(here) {
                return Err(stop);
            }
            let now_ms = here.clock.monotonic_ms();
            let reason = match self.decide(here.clock, now_ms) {
                Decision::Go => return Ok(others_ms),
                Decision::Stop(reason) => return Err(Stop::between(Fault::store(reason.says))),
                Decision::Wait(reason) => reason,
            };
            if let Some(ahead) = ahead {
                // It reads, and what reads has a transaction.
                ahead.read_to_its_end().await;
            }
            let is_rate = reason.cause == Cause::RowRate;
            if !is_rate {
                // Pauses of a moment are what a rate is made of.
                here.progress.waiting(&format!("waiting: {reason}"));
            }
            let due_ms = self.governor.due_in_ms(now_ms);
            let nap_ms = if due_ms > 0 { due_ms.min(PROBE_EVERY_MS) } else { PROBE_EVERY_MS };
            tokio::time::sleep(Duration::from_millis(nap_ms)).await;
            let took_ms = here.clock.monotonic_ms().saturating_sub(now_ms);
            others_ms += if is_rate { 0 } else { took_ms };
            let again = before.replace(reason.cause) == Some(reason.cause);
            count(here.waits, &reason, took_ms, again);
        }
    }

    /// A person, or the end of the maintenance window.
    fn asked_to_end(&self, here: &Surroundings<'_>) -> Option<Stop> {
        if here.interrupt.is_requested() {
            return Some(Fault::new(Category::Interrupted, "interrupted").into());
        }
        match &self.window {
            Some(window) if opening(here.clock, window) != Opening::Open => {
                let fault = Fault::store(format!("the maintenance window {window} has ended"));
                Some(Stop::between(fault.hint("wait until it is open")))
            }
            Some(_) | None => None,
        }
    }
}

/// Of two decisions the one that keeps a run longer; of two waits the first, unless it is a pause of a moment.
fn graver(first: Decision, second: Decision) -> Decision {
    match (&first, &second) {
        (Decision::Stop(_), _) | (_, Decision::Go) => first,
        (Decision::Go, _) | (Decision::Wait(_), Decision::Stop(_)) => second,
        (Decision::Wait(one), Decision::Wait(_)) if one.cause == Cause::RowRate => second,
        (Decision::Wait(_), Decision::Wait(_)) => first,
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
    refuse_closed(&cx.live, cx.clock)?;
    first_look(cx.live.gauges.as_mut(), &cx.live.throttle).await
}

/// Refuses to begin outside of the maintenance window, and in zones that nobody knows.
pub(crate) fn refuse_closed(live: &Live, clock: &dyn Clock) -> Result<(), Fault> {
    for window in live.window.iter().chain(&live.throttle.window) {
        if clock.minute_of_day(window.zone()).is_none() {
            return Err(Fault::usage(format!("the time zone `{}` is not known", window.zone()))
                .hint("write an IANA name such as Europe/Berlin, or UTC"));
        }
    }
    match &live.window {
        Some(window) if opening(clock, window) != Opening::Open => {
            Err(Fault::refused(format!("it is outside of the maintenance window {window}"))
                .hint("run the command again when it is open"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Looks at a store once, where the throttle asks for that.
pub(crate) async fn first_look(
    gauges: Option<&mut Box<dyn Gauges>>,
    throttle: &Throttle,
) -> Result<(), Fault> {
    let asked = throttle.measured();
    let Some(gauges) = gauges else {
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

/// Waits until the next batch of a session may begin.
///
/// # Errors
/// Why the run ends before it.
pub(crate) async fn admit(session: &mut Session<'_, '_>, ahead: &mut Option<Ahead>) -> Result<(), Stop> {
    let mut here = Surroundings {
        clock: session.cx.clock,
        progress: session.cx.progress,
        interrupt: session.cx.interrupt,
        waits: &mut session.report.waits,
    };
    session.pace.wait(&mut here, ahead).await.map(drop)
}

fn count(waits: &mut BTreeMap<String, WaitFigures>, reason: &Reason, took_ms: u64, again: bool) {
    let figures = waits.entry(reason.cause.as_str().to_owned()).or_default();
    figures.add(took_ms, u64::from(!again), &reason.says);
}
