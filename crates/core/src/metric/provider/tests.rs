//! What every provider must get right, tried on every row; the goldens of what each one sends and reads; and a provider of
//! the tests' own that needs three steps.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::row::Protocol;
use super::*;
use crate::fixtures::{check_golden, golden_inputs};
use crate::question::ProviderSource;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn answer(status: u16, body: impl Into<Bytes>) -> Response<Bytes> {
    Response::builder().status(status).body(body.into()).expect("a response")
}

/// A Secret with a value for every key that some provider reads.
fn secret() -> Secret {
    let keys = ["token", "username", "password", "newrelic_query_key"];
    let mut secret: Secret = keys.map(|key| (key.to_owned(), b"what-nobody-may-read".to_vec())).into();
    secret.insert("newrelic_account_id".to_owned(), b"123456".to_vec());
    secret
}

fn source() -> ProviderSource {
    ProviderSource { address: "http://in-url:pass-x@provider/path".into(), ..ProviderSource::default() }
}

fn start(row: &Row) -> Exchange {
    let (source, window) = (source(), SignedDuration::from_mins(1));
    let query = Query { source: &source, text: "target=up", window, now: NOW };
    row.start(&query, Some(&secret())).expect("a valid query")
}

/// What an answer means to a provider, as its first step reads it and as the question whether it is there does.
fn read(row: &Row, response: &Response<Bytes>) -> [Result<Next, MeasureError>; 2] {
    let online = row.online(&source(), Some(&secret()), NOW).expect("a valid source");
    [start(row), online].map(|exchange| (exchange.answered)(response, NOW))
}

#[test]
fn types_choose_their_provider() {
    fn check(name: &str, expected: Result<&str, &str>) {
        let row = row(name).map(|row| row.name);
        assert_eq!(row.map_err(|error| error.to_string()), expected.map_err(str::to_owned));
    }
    for row in rows() {
        check(row.name, Ok(row.name));
    }
    check("nobody-knows", Ok("prometheus"));
    check("splunk", Err("metric provider splunk is not supported yet"));
    let absent = METRIC_PROVIDERS.into_iter().filter(|name| row(name).is_err());
    assert_eq!(
        absent.collect::<Vec<_>>(),
        ["influxdb", "datadog", "externalmetrics", "stackdriver", "cloudwatch", "dynatrace", "keptn", "splunk"]
    );
}

#[test]
fn every_name_is_one_that_the_api_server_takes_and_there_once() {
    let names: BTreeSet<&str> = rows().iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows().len());
    assert!(names.iter().all(|name| METRIC_PROVIDERS.contains(name)), "{names:?}");
}

#[test]
fn a_query_has_a_limit_for_every_provider() {
    let (source, text) = (source(), "x".repeat(crate::metric::template::QUERY_LIMIT_BYTES + 1));
    let query = Query { source: &source, text: &text, window: SignedDuration::ZERO, now: NOW };
    for row in rows() {
        let error = row.start(&query, Some(&secret())).expect_err("it is too long");
        assert!(matches!(&error, MeasureError::Wrong(text) if text.starts_with("query is longer than")), "{error}");
    }
}

#[test]
fn no_credential_is_shown_by_what_is_sent_or_said() {
    fn check(shown: &str) {
        assert!(["nobody-may-read", "pass-x", "in-url"].iter().all(|secret| !shown.contains(secret)), "{shown}");
    }
    for row in rows() {
        let exchange = start(row);
        check(&format!("{exchange:?} {:?}", exchange.request));
        for unread in ["token", "username", "newrelic_query_key", "newrelic_account_id"] {
            let mut secret = secret();
            // Neither a header nor a path can carry it.
            secret.insert(unread.to_owned(), b"what-nobody-may-read\x01/../".to_vec());
            check(&format!("{:?}", row.online(&source(), Some(&secret), NOW)));
            secret.remove(unread);
            check(&format!("{:?}", row.online(&source(), Some(&secret), NOW)));
        }
    }
}

#[test]
fn a_status_that_is_no_answer_holds_or_fails_for_every_provider() {
    for row in rows() {
        for status in [302, 401, 403, 429, 500, 503] {
            for read in read(row, &answer(status, "no")) {
                assert!(matches!(read, Err(MeasureError::Unavailable(_))), "{} {status}: {read:?}", row.name);
            }
        }
        for status in [400, 404, 422] {
            for read in read(row, &answer(status, "no")) {
                assert!(matches!(read, Err(MeasureError::Wrong(_))), "{} {status}: {read:?}", row.name);
            }
        }
    }
}

#[test]
fn no_word_of_an_answer_that_is_none_is_told() {
    const SECRET: &str = "what-nobody-may-read";
    for row in rows() {
        for status in [200, 302, 400, 401, 500] {
            for body in [
                SECRET.to_owned(),
                format!("{SECRET:?}"),
                format!("[{SECRET:?}]"),
                format!(r#"[{{"target":"{SECRET}","datapoints":[["{SECRET}",1]]}},{{"datapoints":[]}}]"#),
                format!(r#"[{{"target":"{SECRET}","datapoints":[["{SECRET}",1]]}}]"#),
                format!(r#"{{"results":[{{"result":"{SECRET}"}}]}}"#),
                format!(r#"{{"error":"{SECRET}","results":[{{}},{{"result":"{SECRET}"}}]}}"#),
            ] {
                let [measured, _] = read(row, &answer(status, body.clone()));
                let error = measured.expect_err("no number").to_string();
                assert!(!error.contains("nobody"), "{} {status} {body}: {error}", row.name);
            }
        }
        let [deep, _] = read(row, &answer(200, "[".repeat(200_000)));
        assert!(matches!(deep, Err(MeasureError::Unavailable(_))), "{}: {deep:?}", row.name);
    }
}

/// JSON with the keys of every provider.
fn any_json() -> impl Strategy<Value = Value> {
    let words = prop_oneof![Just("NaN"), Just("1e999"), Just("+Inf"), Just("vector"), Just("1")];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.prop_map(Value::from),
    ];
    let key = prop_oneof![Just("data"), Just("resultType"), Just("result"), Just("results"), Just("datapoints")];
    leaf.prop_recursive(5, 64, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_answer_panics_and_no_number_is_unfinite(status in 100_u16..600, body in any::<Vec<u8>>(), json in any_json()) {
        for row in rows() {
            for response in [answer(status, body.clone()), answer(200, json.to_string())] {
                for next in read(row, &response).into_iter().flatten() {
                    prop_assert!(matches!(next, Next::Sample(value) if value.is_finite()), "{}: {next:?}", row.name);
                }
            }
        }
    }
}

/// How a conversation with these answers ends: what is sent after each, and what is said in the end.
fn played(first: Exchange, answers: &[Response<Bytes>]) -> Value {
    let mut answers = answers.iter();
    let (mut exchange, mut sent) = (first, Vec::new());
    let end = loop {
        let Some(response) = answers.next() else { panic!("another answer is awaited") };
        match (exchange.answered)(response, NOW) {
            Ok(Next::Send(next)) => {
                sent.push(shown(&next));
                exchange = *next;
            }
            Ok(Next::Sample(value)) => break json!({"sample": value}),
            Err(error) => break json!({error.reason(): error.to_string()}),
        }
    };
    assert!(answers.next().is_none(), "an answer is left");
    if sent.is_empty() { end } else { json!({"sent": sent, "end": end}) }
}

/// All that is sent, with what `Debug` does not show.
fn shown(exchange: &Exchange) -> Value {
    let headers = exchange.request.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().expect("text").into()));
    let mut shown = json!({
        "request": format!("{} {}", exchange.request.method(), exchange.request.uri()),
        "headers": Value::Object(headers.collect()),
    });
    if !exchange.pause.is_zero() {
        shown["pause"] = format!("{:?}", exchange.pause).into();
    }
    shown
}

/// Plays a file of goldens: what is asked how, and what answers mean.
fn play(row: &Row, input: &Value) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let asked = |case: &Value| {
        let headers = serde_json::from_value(case["headers"].clone()).unwrap_or_default();
        let source = ProviderSource { address: text(&case["address"]).into(), headers, ..ProviderSource::default() };
        let secret: Option<Secret> = case["secret"]
            .as_object()
            .map(|entries| entries.iter().map(|(key, value)| (key.clone(), text(value).into_bytes())).collect());
        let query = text(&case["query"]);
        let window = SignedDuration::from_secs(case["window_seconds"].as_i64().unwrap_or(60));
        match case.get("query") {
            Some(_) => row.start(&Query { source: &source, text: &query, window, now: NOW }, secret.as_ref()),
            None => row.online(&source, secret.as_ref(), NOW),
        }
    };
    let said = |exchange: Result<Exchange, MeasureError>| {
        exchange.map_or_else(|error| json!({error.reason(): error.to_string()}), |exchange| shown(&exchange))
    };
    let responses = |case: &Value| -> Vec<Response<Bytes>> {
        let status = |one: &Value| one["status"].as_u64().map_or(Ok(200), u16::try_from).expect("a status");
        let one = |one: &Value| answer(status(one), text(&one["body"]));
        case["answers"].as_array().expect("answers").iter().map(one).collect()
    };
    let list = |key: &str| input[key].as_array().expect("a list").clone();
    let name = |case: &Value| text(&case["case"]);
    let requests = list("asked").iter().map(|case| (name(case), said(asked(case)))).collect();
    let answered = list("answered");
    let answers = answered.iter().map(|case| {
        let first = asked(&input["asked"][usize::from(case.get("online").is_some())]).expect("a request");
        (name(case), played(first, &responses(case)))
    });
    json!({"asked": Value::Object(requests), "answered": Value::Object(answers.collect())})
}

#[test]
fn every_provider_has_its_goldens_of_requests_and_of_answers() {
    let inputs = golden_inputs("metric/provider");
    let names: Vec<&str> = inputs.iter().map(|(name, _)| name.as_str()).collect();
    let rows_by_name: BTreeSet<&str> = rows().iter().map(|row| row.name).collect();
    assert_eq!(names, rows_by_name.into_iter().collect::<Vec<_>>());
    for (name, input) in &inputs {
        check_golden(&format!("metric/provider/{name}.yaml"), &play(row(name).expect("a row"), input));
    }
}

/// Asks for a token, starts a job with it, and asks for its number until there is one.
struct ThreeSteps;

/// It has a type of its own, and no `Debug`.
struct Key(String);

impl Protocol for ThreeSteps {
    const NAME: &'static str = "three-steps";
    const ABOUT: &'static str = "a test";
    const ADDRESS: Option<&'static str> = Some("https://steps.example");
    const SECRET: &'static str = "`key`";
    type Credentials = Key;

    fn credentials(secret: Option<&Secret>) -> Result<Key, String> {
        let key = secret.and_then(|secret| wire::entry(secret, "key"));
        key.map(Key).ok_or_else(|| "there is no key".to_owned())
    }

    fn start(query: &Query<'_>, Key(key): Key) -> Result<Exchange, MeasureError> {
        let base = wire::base_url::<Self>(&query.source.address)?;
        let (text, mut token) = (query.text.to_owned(), wire::get(base.clone(), &wire::Headers::new(), None)?);
        token.headers_mut().extend(wire::secret_value(&key).map(|key| (http::header::COOKIE, key)));
        Ok(Exchange::new(token, move |response, now| {
            let token = String::from_utf8_lossy(wire::body(response)?).into_owned();
            let job = wire::within(base.clone(), &format!("/jobs/{text}/{}", now.as_second()));
            let request = wire::get(job, &wire::Headers::new(), Some(wire::Login::Bearer(token.clone())))?;
            Ok(Next::send(Exchange::new(request, move |response, _| {
                wire::body(response)?;
                poll(base, token)
            })))
        }))
    }

    fn online(source: &ProviderSource, key: Key, now: Timestamp) -> Result<Exchange, MeasureError> {
        Self::start(&Query { source, text: "online", window: SignedDuration::ZERO, now }, key)
    }
}

fn poll(base: url::Url, token: String) -> Result<Next, MeasureError> {
    let request = wire::get(base.clone(), &wire::Headers::new(), Some(wire::Login::Bearer(token.clone())))?;
    let exchange = Exchange::new(request, move |response, _| match wire::body(response)? {
        b"" => poll(base, token),
        body => wire::read("a test", body).map(Next::Sample),
    });
    Ok(Next::send(exchange.after(Duration::from_secs(1))))
}

#[test]
fn a_conversation_has_as_many_steps_as_it_needs_and_carries_what_it_learns() {
    let row = Row::of::<ThreeSteps>();
    let (source, secret) = (ProviderSource::default(), Secret::from([("key".to_owned(), b"k".to_vec())]));
    let query = Query { source: &source, text: "q", window: SignedDuration::ZERO, now: NOW };
    let begun = || row.start(&query, Some(&secret)).expect("a valid query");
    assert_eq!(shown(&begun()), json!({"request": "GET https://steps.example/", "headers": {"cookie": "k"}}));
    let sent = |path: &str| json!({"request": format!("GET https://steps.example{path}"), "headers": {"authorization": "Bearer t"}});
    let polled =
        json!({"request": "GET https://steps.example/", "headers": {"authorization": "Bearer t"}, "pause": "1s"});
    let whole = played(begun(), &[answer(200, "t"), answer(202, ""), answer(200, ""), answer(200, "2.5")]);
    assert_eq!(whole, json!({"sent": [sent("/jobs/q/0"), polled, polled], "end": {"sample": 2.5}}));
    let refused = played(begun(), &[answer(200, "t"), answer(403, "no")]);
    let text = "error response: Status 403 Forbidden: answer of 2 bytes";
    assert_eq!(refused, json!({"sent": [sent("/jobs/q/0")], "end": {"unanswered": text}}));
}

#[test]
fn a_secret_that_lacks_a_key_is_its_own_fault_and_none_is_the_templates() {
    let row = Row::of::<ThreeSteps>();
    let source = ProviderSource::default();
    let said = |secret: Option<&Secret>| row.online(&source, secret, NOW).expect_err("there is no key");
    assert_eq!(said(Some(&Secret::new())), MeasureError::Secret("there is no key".to_owned()));
    assert_eq!(said(None), MeasureError::Wrong("there is no key".to_owned()));
}
