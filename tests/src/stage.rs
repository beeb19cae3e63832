//! Plays a [`Story`] with managers that are disturbed, under the eyes of an [`Inspector`].

use std::convert::Infallible;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use capmaas_manager::Manager;
use capmaas_manager::gate::{Call, Gate, Verdict};
use capmaas_sandbox::sandbox::Sandbox;
use tokio::sync::Notify;

use crate::invariants::Inspector;
use crate::stories::Story;
use crate::{Hand, Play};

/// What still goes on after a story has ended is over by then: claims without an answer are looked up for 100 s.
const SETTLE: Duration = Duration::from_secs(150);

/// A world, and where things are moved to if a story moves them.
pub struct Stage {
    /// The world.
    pub play: Play,
    /// Another management cluster over the same machines.
    pub target: Option<Sandbox>,
    /// Sees all.
    pub inspector: Inspector,
    story: Story,
    retired: Notify,
}

impl Stage {
    /// Sets the stage for a story.
    ///
    /// # Panics
    /// When the world can't be set up.
    pub async fn set(story: Story, seed: u64) -> Self {
        Self::with(story, Play::quick(seed, story.machines()).await).await
    }

    /// The same in this world.
    ///
    /// # Panics
    /// When the second management cluster can't be set up.
    pub async fn with(story: Story, play: Play) -> Self {
        let target = match story.moves() {
            false => None,
            true => {
                let target = play.sandbox.beside(1000);
                target.install().await.expect("the kinds and the credentials are ours");
                Some(target)
            }
        };
        let clusters: Vec<_> = std::iter::once(&play.sandbox).chain(&target).collect();
        let inspector = Inspector::new(&clusters);
        Self { inspector, play, target, story, retired: Notify::new() }
    }

    /// The management clusters, each with the name of its manager in reports.
    pub fn clusters(&self) -> Vec<(&Sandbox, &'static str)> {
        std::iter::once((&self.play.sandbox, "the manager"))
            .chain(self.target.as_ref().map(|t| (t, "the target's manager")))
            .collect()
    }

    /// A manager behind a gate; `seed` is its own.
    ///
    /// # Panics
    /// When it ends by itself.
    pub async fn manager(&self, cluster: &Sandbox, gate: &Gate, seed: u64, who: &str) -> Infallible {
        self.inspector.watch(gate, who);
        let mut env = cluster.env(gate, self.play.settings.clone());
        env.seed = seed;
        let ended = Manager::run(env, pending()).await;
        panic!("{who} ended: {ended:?}")
    }

    /// A manager that is stopped when its gate says so; then another one takes over behind an open gate.
    ///
    /// # Panics
    /// When one ends by itself.
    pub async fn replaced(&self, cluster: &Sandbox, gate: &Gate, seed: u64, who: &str) -> Infallible {
        tokio::select! { biased;
            () = gate.stopped() => {}
            never = self.manager(cluster, gate, seed, who) => match never {},
        }
        self.manager(cluster, &Gate::open(), seed, &format!("{who}'s successor")).await
    }

    /// Cluster API's stand-in in the first management cluster stops: its objects are about to leave. (It takes a Cluster that goes
    /// for one that ends.)
    pub fn retire_core(&self) {
        self.retired.notify_one();
    }

    /// Plays the story beside the managers. `quiet` is called between its two parts, and `over` when the second one has ended.
    ///
    /// # Panics
    /// When an invariant is violated, or when the story does not come to its end.
    pub async fn run(&self, managers: impl Future<Output = Infallible>, quiet: impl FnOnce(), over: impl FnOnce()) {
        let hand = Hand::new(&self.play);
        let _trail = Trail(&self.inspector);
        let script = async {
            self.story.before(&hand).await;
            quiet();
            self.story.act(self, &hand).await;
            over();
            self.play.sandbox.clock.sleep(SETTLE).await;
            let wrong = self.inspector.at_rest();
            assert!(wrong.is_empty(), "{:?} has ended, and {wrong:#?}", self.story);
        };
        let first = async {
            tokio::select! { biased;
                () = self.retired.notified() => pending::<Infallible>().await,
                never = self.play.sandbox.core() => never,
            }
        };
        let second = async {
            match &self.target {
                Some(target) => target.core().await,
                None => pending().await,
            }
        };
        tokio::select! { biased;
            never = first => match never {},
            never = second => match never {},
            never = self.play.sandbox.machines() => match never {},
            wrong = self.inspector.violated() => panic!("{wrong}"),
            never = managers => match never {},
            () = script => {}
        }
    }
}

/// Prints the calls that led to a panic.
struct Trail<'a>(&'a Inspector);

impl Drop for Trail<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.0.recent());
        }
    }
}

/// Counts the calls of a story's second part, over all gates that it rules, and does something at one of them.
#[derive(Clone, Default)]
pub struct Trigger(Arc<Mutex<Counting>>);

#[derive(Default)]
struct Counting {
    armed: bool,
    at: u64,
    verdict: Option<Verdict>,
    action: Option<Box<dyn FnOnce() + Send>>,
    claims_last: Duration,
    writes: Vec<bool>,
}

impl Trigger {
    /// That only counts.
    pub fn counting() -> Self {
        Self::default()
    }

    /// With this verdict on call `number` (from 1) of the second part.
    pub fn at(number: u64, verdict: Verdict) -> Self {
        Self(Arc::new(Mutex::new(Counting { at: number, verdict: Some(verdict), ..Counting::default() })))
    }

    /// That does something when call `number` is made, which goes through.
    pub fn doing(number: u64, action: impl FnOnce() + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Counting { at: number, action: Some(Box::new(action)), ..Counting::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Counting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to count, or ends.
    pub fn arm(&self, armed: bool) {
        self.lock().armed = armed;
    }

    /// The calls so far; true for those that change something.
    pub fn calls(&self) -> Vec<bool> {
        self.lock().writes.clone()
    }

    /// The rule for a gate.
    pub fn judge(&self, call: &Call) -> Verdict {
        let mut counting = self.lock();
        if !counting.armed {
            return Verdict::Pass;
        }
        counting.writes.push(call.method != "GET");
        let here = counting.at == counting.writes.len() as u64;
        if let Some(action) = counting.action.take_if(|_| here) {
            action();
        }
        match counting.verdict.filter(|_| here) {
            Some(verdict) => verdict,
            None if call.target.contains("op=allocate") && !counting.claims_last.is_zero() => {
                Verdict::Delay(counting.claims_last)
            }
            None => Verdict::Pass,
        }
    }

    /// A gate that it rules, for this story.
    pub fn gate(&self, story: Story) -> Gate {
        self.lock().claims_last = story.claims_last();
        let trigger = self.clone();
        Gate::with_rule(move |call| trigger.judge(call))
    }
}

/// Runs all points on two threads, and answers the names of those that fail. Each is printed as soon as it has failed, with the variable
/// that replays it.
pub fn failing<P: Sync>(
    points: &[P],
    variable: &str,
    name: impl Fn(&P) -> String + Sync,
    run: impl Fn(&P) + Sync,
) -> Vec<String> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
            if catch_unwind(AssertUnwindSafe(|| run(point))).is_err() {
                println!("failed: {variable}=\"{}\"", name(point));
                failed.lock().unwrap_or_else(PoisonError::into_inner).push(name(point));
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Thins points for the everyday loop: every `step`th, where `variable` does not say otherwise (1: all). Other processes take others.
pub fn thinned<P>(points: Vec<P>, variable: &str, step: usize) -> Vec<P> {
    let said = std::env::var(variable).ok().and_then(|s| s.parse().ok());
    let step: usize = said.unwrap_or(step).max(1);
    let all = points.len();
    let first = usize::try_from(std::process::id()).unwrap_or_default() % step.min(all.max(1));
    let chosen: Vec<_> = points.into_iter().skip(first).step_by(step).collect();
    println!("{} of {all} points ({variable}={step}, from the {first}th on)", chosen.len());
    chosen
}
