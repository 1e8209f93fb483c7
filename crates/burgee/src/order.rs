//! `burgee abort|promote|retry|pause|resume`: puts an order on a Canary, and shows how it is answered. It moves nothing
//! itself: the controller obeys or refuses.

use std::time::{Duration, Instant};

use anyhow::bail;
use burgee_api::{AnsweredOrder, Canary, GoDuration, OrderResult};
use burgee_core::order::{Order, Word};
use burgee_core::plain::plain;
use burgee_core::world::ObjectKey;
use burgee_operator::visit::Visit;
use jiff::Timestamp;

use crate::place::{Outcome, Place};

/// How often the canary is looked at for the answer.
const LOOK: Duration = Duration::from_millis(500);

/// Give an order to the controller.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Wait for the controller's answer: exit code 0 when it obeyed, 1 when it refused, 3 when it did not answer.
    #[arg(long)]
    wait: bool,
    /// How long to wait.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    timeout: Duration,
}

fn duration(text: &str) -> anyhow::Result<Duration> {
    match GoDuration::parse(text).ok().and_then(|duration| u64::try_from(duration.nanoseconds()).ok()) {
        Some(nanoseconds) => Ok(Duration::from_nanos(nanoseconds)),
        None => bail!("it is no duration such as 30s or 2m"),
    }
}

/// Gives the order.
///
/// # Errors
/// When the cluster cannot be reached, there is no such canary, or the permission to patch it is missing.
pub(crate) async fn run(word: Word, arguments: &Arguments) -> anyhow::Result<Outcome> {
    let (visit, key) = arguments.place.visit().await?;
    let order = Order { id: new_id(), word, actor: actor(&visit).await, at: Timestamp::now() };
    visit.order(&key, &order).await?;
    println!("ordered {word} of {}.{} as {} ({})", key.name, key.namespace, plain(&order.actor), order.id);
    if !arguments.wait {
        println!("`burgee status {} -n {}` shows the answer", key.name, key.namespace);
        return Ok(Outcome::Done);
    }
    wait(&visit, &key, &order.id, arguments.timeout).await
}

/// Who gives the order, for those who read the event. Who did is in the audit log of the API server.
async fn actor(visit: &Visit) -> String {
    let local = || std::env::var("USER").ok().filter(|name| !name.is_empty());
    visit.user().await.or_else(local).unwrap_or_else(|| "somebody".to_owned())
}

fn new_id() -> String {
    format!("{:08x}", fastrand::u32(..))
}

async fn wait(visit: &Visit, key: &ObjectKey, id: &str, timeout: Duration) -> anyhow::Result<Outcome> {
    let deadline = Instant::now() + timeout;
    loop {
        let canary = visit.canary(key).await?;
        if let Some(answered) = answer(&canary, id) {
            println!("{}", plain(&answered.message));
            return Ok(outcome(answered));
        }
        if Instant::now() >= deadline {
            eprintln!("no answer within {} s: {}", timeout.as_secs(), plain(&silence(&canary)));
            return Ok(Outcome::Unanswered);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn answer<'a>(canary: &'a Canary, id: &str) -> Option<&'a AnsweredOrder> {
    canary.status.as_ref()?.run.as_ref()?.orders.iter().find(|answered| answered.id == id)
}

fn outcome(answered: &AnsweredOrder) -> Outcome {
    match answered.result {
        OrderResult::Obeyed => Outcome::Done,
        OrderResult::Refused => Outcome::Refused,
    }
}

/// Why nobody may have answered.
fn silence(canary: &Canary) -> String {
    let conditions = canary.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let invalid = conditions.filter(|condition| condition.kind == "Invalid").find_map(|found| found.message.clone());
    if let Some(reason) = invalid {
        return format!("the controller refuses the canary: {reason}");
    }
    if canary.status.is_none() {
        return "the controller has not seen the canary yet".to_owned();
    }
    "the order stands, and is obeyed within ten minutes if it can be; is the controller running, and what do the last \
     events of the canary say?"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn canary(status: &serde_json::Value) -> Canary {
        serde_json::from_value(json!({
            "metadata": {"name": "podinfo"},
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
                "service": {"port": 9898},
            },
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn an_answer_is_that_of_the_order_and_no_other() {
        let orders = json!([{"id": "1", "result": "obeyed"}, {"id": "2", "result": "refused", "message": "no"}]);
        let canary = canary(&json!({"run": {"orders": orders}}));
        assert_eq!(answer(&canary, "1").map(outcome), Some(Outcome::Done));
        assert_eq!(answer(&canary, "2").map(outcome), Some(Outcome::Refused));
        assert_eq!(answer(&canary, "3"), None);
    }

    #[test]
    fn silence_about_an_invalid_canary_is_explained() {
        let condition = json!({"type": "Invalid", "status": "True", "reason": "InvalidSpec", "message": "no target"});
        let text = silence(&canary(&json!({"conditions": [condition]})));
        assert_eq!(text, "the controller refuses the canary: no target");
    }

    #[test]
    fn a_timeout_is_written_as_everywhere() {
        assert_eq!(duration("1m30s").unwrap(), Duration::from_secs(90));
        assert!(duration("soon").is_err());
    }
}
