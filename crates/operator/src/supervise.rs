//! No task dies alone: one that panics is started again, and counted. What is asked once and
//! panics is an error like any other. It decides nothing.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;

use crate::vitals::Vitals;

/// First and longest wait before a task is started again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// A task that lived so long begins with the first wait again.
const STEADY: Duration = Duration::from_mins(2);

/// Runs what `make` makes, again after a panic, until it is done: it returns when nobody needs it any more.
pub(crate) async fn supervise<F>(vitals: Arc<Vitals>, task: &'static str, mut make: impl FnMut() -> F)
where
    F: Future<Output = ()>,
{
    let mut wait = BACKOFF.0;
    loop {
        let begun = Instant::now();
        let Err(panic) = caught(async { make().await }).await else { return };
        tracing::error!("task {task} panicked, starting it again: {panic}");
        vitals.restarted(task);
        if begun.elapsed() > STEADY {
            wait = BACKOFF.0;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(BACKOFF.1);
    }
}

/// What a future comes to, or what it said when it panicked.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason given".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::telemetry::Telemetry;

    #[tokio::test]
    async fn a_task_that_panics_is_started_again_and_counted_until_it_is_done() {
        let (vitals, turns) = (Arc::new(Vitals::default()), AtomicU32::new(0));
        supervise(vitals.clone(), "lease", || async {
            let turn = turns.fetch_add(1, Ordering::Relaxed);
            assert!(turn > 1, "nobody thought of this");
        })
        .await;
        let telemetry = Telemetry::default();
        vitals.show(&telemetry);
        assert!(telemetry.render().contains("burgee_task_restarts_total{task=\"lease\"} 2"));
    }

    #[tokio::test]
    async fn a_panic_says_what_it_said() {
        assert_eq!(caught(async { 7 }).await, Ok(7));
        let why = "odd".to_owned();
        assert_eq!(caught::<()>(async { panic!("an {why} answer") }).await, Err("an odd answer".to_owned()));
        assert_eq!(caught::<()>(async { panic!("plain") }).await, Err("plain".to_owned()));
    }
}
