//! Prometheus' HTTP API: one instant query, one number. It must not guess which of several numbers was meant (S9).

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::row::{Exchange, Protocol, Query, Secret};
use super::wire::{self, Few, Login, brief, cut, length, refused, unreadable};
use crate::metric::error::MeasureError;
use crate::metric::template::collapse;
use crate::question::ProviderSource;

const WHOSE: &str = "Prometheus";
const ONLINE_QUERY: &str = "vector(1)";
/// How much of an error of Prometheus' is told, in letters: events are cut at 1,024 bytes anyway.
const ERROR_LETTERS: usize = 512;

pub(super) struct Prometheus;

impl Protocol for Prometheus {
    const NAME: &'static str = "prometheus";
    const ABOUT: &'static str = "Prometheus, and whatever speaks its HTTP API";
    const ADDRESS: Option<&'static str> = None;
    const SECRET: &'static str = "`token`, or `username` and `password`";
    type Credentials = Option<Login>;

    /// White space around a token is dropped, for no header could carry a line's end.
    fn credentials(secret: Option<&Secret>) -> Result<Self::Credentials, String> {
        let Some(secret) = secret else { return Ok(None) };
        match wire::entry(secret, "token") {
            Some(token) => Ok(Some(Login::Bearer(token.trim().to_owned()))),
            None => Login::basic(Self::NAME, secret).map(Some),
        }
    }

    fn start(query: &Query<'_>, login: Self::Credentials) -> Result<Exchange, MeasureError> {
        Ok(Exchange::last(request(query.source, query.text, login)?, parse))
    }

    /// Asks what is known beforehand.
    fn online(source: &ProviderSource, login: Self::Credentials, _: Timestamp) -> Result<Exchange, MeasureError> {
        Ok(Exchange::last(request(source, ONLINE_QUERY, login)?, online))
    }
}

/// `GET <address>/api/v1/query?query=…`, the query in one line (contract: metrics §6).
fn request(source: &ProviderSource, query: &str, login: Option<Login>) -> Result<Request<Bytes>, MeasureError> {
    let mut url = wire::within(wire::base_url::<Prometheus>(&source.address)?, "/api/v1/query");
    url.query_pairs_mut().append_pair("query", &collapse(query));
    wire::get(url, &source.headers, login)
}

/// The one finite sample of an answer.
fn parse(response: &Response<Bytes>) -> Result<f64, MeasureError> {
    if response.status().as_u16() >= 300 {
        return Err(refused(response.status(), &told(response.body())));
    }
    let answer: Answer<'_> = wire::read(WHOSE, response.body())?;
    let Some(Data { result_type, result }) = answer.data else {
        return Err(MeasureError::Unavailable(format!("error response: {}", told(response.body()))));
    };
    match result_type {
        "vector" => vector(&read::<Few<Sample<'_>>>(result)?),
        "scalar" => number(&read::<(IgnoredAny, String)>(result)?.1),
        "matrix" => Err(MeasureError::Wrong("query returned multiple values".to_owned())),
        other => Err(MeasureError::Wrong(format!("query returned a {}, expected one number", brief(other)))),
    }
}

/// The answer that is known beforehand.
fn online(response: &Response<Bytes>) -> Result<f64, MeasureError> {
    let value = parse(response)?;
    if (value - 1.0).abs() < f64::EPSILON {
        return Ok(value);
    }
    Err(MeasureError::Wrong(format!("value is not 1 for query: {ONLINE_QUERY}")))
}

fn vector(samples: &Few<Sample<'_>>) -> Result<f64, MeasureError> {
    match samples.kept.as_slice() {
        [] => Err(MeasureError::no_values()),
        [Sample { values: Some(_), .. }] => Err(MeasureError::Wrong("query returned multiple values".to_owned())),
        [Sample { value: Some((_, text)), .. }] => number(text),
        [_] => Err(MeasureError::Wrong("query returned a sample without a value, expected one number".to_owned())),
        [first, second, ..] => Err(MeasureError::Wrong(format!(
            "query returned multiple values: {} series, such as {} and {}, expected one",
            samples.count,
            first.labels(),
            second.labels()
        ))),
    }
}

/// NaN is what a division by no traffic gives: no value (contract: metrics §6). Infinity is none either, but a wrong query.
fn number(text: &str) -> Result<f64, MeasureError> {
    match text.parse::<f64>() {
        Ok(value) if value.is_nan() => Err(MeasureError::no_values()),
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(wire::infinite(text)),
        Err(_) => Err(MeasureError::Unavailable(format!("error unmarshaling result: {:?} is no number", brief(text)))),
    }
}

/// What Prometheus says went wrong, where the answer is such an error of its API; else how long the answer is.
fn told(body: &[u8]) -> String {
    match serde_json::from_slice::<Refusal>(body) {
        Ok(Refusal { status, error_type, error }) if status == "error" => {
            format!("{}: {}", brief(&error_type), cut(&error, ERROR_LETTERS))
        }
        Ok(_) | Err(_) => length(body),
    }
}

fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, MeasureError> {
    serde_json::from_str(raw.get()).map_err(|error| unreadable(WHOSE, &error))
}

/// An error of Prometheus' API.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    status: String,
    error_type: String,
    error: String,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Option<Data<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    result_type: &'a str,
    #[serde(borrow)]
    result: &'a RawValue,
}

/// The labels of a series.
type Labels<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

#[derive(Deserialize)]
struct Sample<'a> {
    #[serde(borrow)]
    metric: Option<Labels<'a>>,
    value: Option<(IgnoredAny, String)>,
    values: Option<IgnoredAny>,
}

impl Sample<'_> {
    fn labels(&self) -> String {
        let labels = self.metric.as_ref().map(|labels| serde_json::to_string(labels).unwrap_or_default());
        labels.map_or_else(|| "{}".to_owned(), |labels| brief(&labels))
    }
}

#[cfg(test)]
mod tests {
    use burgee_api::Address;
    use proptest::prelude::*;

    use super::*;

    fn source(address: &str) -> ProviderSource {
        ProviderSource { address: address.into(), ..ProviderSource::default() }
    }

    fn answer(status: u16, body: &str) -> Response<Bytes> {
        Response::builder().status(status).body(Bytes::from(body.to_owned())).expect("a response")
    }

    fn success(result_type: &str, result: &str) -> Response<Bytes> {
        let data = format!(r#"{{"resultType":"{result_type}","result":{result}}}"#);
        answer(200, &format!(r#"{{"status":"success","data":{data}}}"#))
    }

    fn check(response: &Response<Bytes>, expected: &Result<f64, MeasureError>) {
        assert_eq!(parse(response), *expected);
    }

    fn wrong(text: &str) -> Result<f64, MeasureError> {
        Err(MeasureError::Wrong(text.to_owned()))
    }

    #[test]
    fn the_query_goes_where_the_address_says() {
        fn check(address: &str, expected: &str) {
            let request = request(&source(address), "sum(\n  up{a=\"b\"}\n)", None).expect("a valid address");
            assert_eq!(request.uri().to_string(), expected);
        }
        let query = "api/v1/query?query=sum%28+up%7Ba%3D%22b%22%7D+%29";
        check("http://prometheus:9090", &format!("http://prometheus:9090/{query}"));
        check("http://prometheus:9090/", &format!("http://prometheus:9090/{query}"));
        check("https://mimir/prometheus?x=y", &format!("https://mimir/prometheus/{query}"));
        check("http://user:pass@mimir", &format!("http://mimir/{query}"));
    }

    #[test]
    fn an_address_that_is_no_url_is_the_contracts_error() {
        for address in ["", "prometheus:9090", "://x", "ftp://x", "/path"] {
            let error = request(&source(address), "up", None).expect_err(address);
            let shown = Address::from(address);
            assert_eq!(error, MeasureError::Wrong(format!("prometheus address {shown} is not a valid URL")));
        }
    }

    #[test]
    fn secrets_hold_a_token_or_a_name_and_password() {
        fn check(entries: &[(&str, &str)], expected: Result<Login, &str>) {
            let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
            let read = Prometheus::credentials(Some(&entries.collect()));
            assert_eq!(read, expected.map(Some).map_err(str::to_owned));
        }
        let basic = Login::Basic { username: "u".into(), password: "p".into() };
        let missing = "prometheus credentials does not contain a username/password";
        check(&[("token", "t\n")], Ok(Login::Bearer("t".into())));
        check(&[("username", "u"), ("password", "p")], Ok(basic));
        check(&[("username", "u")], Err(missing));
        check(&[], Err(missing));
        assert_eq!(Prometheus::credentials(None), Ok(None));
    }

    #[test]
    fn headers_and_credentials_go_with_the_request() {
        fn check(address: &str, login: Option<Login>, expected: &str) {
            let headers = BTreeMap::from([("X-Scope-OrgID".to_owned(), vec!["a".to_owned(), "b".to_owned()])]);
            let request = request(&ProviderSource { headers, ..source(address) }, "up", login).expect("a valid source");
            assert_eq!(request.headers().get_all("x-scope-orgid").iter().count(), 2);
            assert_eq!(request.headers()["authorization"], expected);
        }
        let basic = Login::Basic { username: "Aladdin".into(), password: "open sesame".into() };
        check("http://p", Some(Login::Bearer("t".into())), "Bearer t");
        check("http://p", Some(basic), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        check("http://Aladdin:open%20sesame@p", None, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }

    #[test]
    fn one_finite_sample_is_a_value() {
        check(&success("vector", r#"[{"metric":{"a":"b"},"value":[1435781451.781,"99.5"]}]"#), &Ok(99.5));
        check(&success("vector", r#"[{"metric":{},"value":[1,"1e3"]}]"#), &Ok(1000.0));
        check(&success("scalar", r#"[1435781451.781,"-1"]"#), &Ok(-1.0));
    }

    #[test]
    fn nothing_and_nan_are_no_values() {
        check(&success("vector", "[]"), &Err(MeasureError::no_values()));
        check(&success("vector", r#"[{"metric":{},"value":[1,"NaN"]}]"#), &Err(MeasureError::no_values()));
    }

    #[test]
    fn everything_else_says_what_came_back() {
        check(
            &success("vector", r#"[{"metric":{"a":"1"},"value":[1,"1"]},{"metric":{"a":"2"},"value":[1,"2"]},{}]"#),
            &wrong(r#"query returned multiple values: 3 series, such as {"a":"1"} and {"a":"2"}, expected one"#),
        );
        check(
            &success("vector", r#"[{"metric":{},"value":[1,"+Inf"]}]"#),
            &wrong("query returned +Inf, expected a finite number"),
        );
        check(
            &success("vector", r#"[{"metric":{},"histogram":[1,{}]}]"#),
            &wrong("query returned a sample without a value, expected one number"),
        );
        check(&success("matrix", r#"[{"metric":{},"values":[[1,"1"]]}]"#), &wrong("query returned multiple values"));
        check(&success("vector", r#"[{"metric":{},"values":[[1,"1"]]}]"#), &wrong("query returned multiple values"));
        check(&success("string", r#"[1,"x"]"#), &wrong("query returned a string, expected one number"));
    }

    #[test]
    fn refusals_hold_or_fail() {
        let body = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        check(&answer(400, body), &wrong("error response: Status 400 Bad Request: bad_data: parse error"));
        check(
            &answer(503, "starting"),
            &Err(MeasureError::Unavailable("error response: Status 503 Service Unavailable: answer of 8 bytes".into())),
        );
    }

    #[test]
    fn only_an_error_of_prometheus_own_is_quoted() {
        const SECRET: &str = "what-nobody-may-read";
        for status in [200, 302, 400, 401, 404, 500] {
            for body in [
                SECRET.to_owned(),
                format!("{SECRET:?}"),
                format!("[{SECRET:?}]"),
                format!(r#"{{"error":"{SECRET}"}}"#),
                format!(r#"{{"status":"failure","errorType":"x","error":"{SECRET}"}}"#),
                format!(r#"{{"status":"error","error":"{SECRET}"}}"#),
                format!(r#"{{"data":"{SECRET}"}}"#),
                format!(r#"{{"data":{{"resultType":"vector","result":"{SECRET}"}}}}"#),
                format!(r#"{{"data":{{"resultType":"vector","result":[{{"metric":"{SECRET}"}},{{}}]}}}}"#),
                format!(r#"{{"data":{{"resultType":"vector","result":[{{"metric":{{"a":["{SECRET}"]}}}},{{}}]}}}}"#),
                format!(r#"{{"data":{{"resultType":"scalar","result":{{"{SECRET}":1}}}}}}"#),
            ] {
                let error = parse(&answer(status, &body)).expect_err("no number").to_string();
                assert!(!error.contains("nobody"), "{status} {body}: {error}");
            }
        }
        let long = format!(r#"{{"status":"error","errorType":"execution","error":"{}"}}"#, "x".repeat(9000));
        assert!(parse(&answer(422, &long)).expect_err("no number").to_string().len() < 1000);
    }

    #[test]
    fn an_answer_that_is_not_prometheus_holds() {
        fn check(response: &Response<Bytes>) {
            let error = parse(response).expect_err("no number");
            assert!(matches!(error, MeasureError::Unavailable(_)), "{error}");
        }
        check(&answer(200, "<html>login</html>"));
        check(&answer(200, ""));
        check(&answer(204, ""));
        check(&answer(200, "{}"));
        check(&answer(200, r#"{"status":"error","error":"x"}"#));
        check(&answer(200, &"[".repeat(1_000_000)));
        check(&answer(200, &format!(r#"{{"data":{}}}"#, "{\"a\":".repeat(100_000))));
        check(&success("vector", r#"[{"metric":{},"value":[1,2]}]"#));
        check(&success("vector", r#"[{"metric":{},"value":[1,"two"]}]"#));
        check(&success("vector", r#"{"a":1}"#));
        check(&success("vector", "[1]"));
    }

    #[test]
    fn online_means_that_one_is_one() {
        let asked = Prometheus::online(&source("http://p"), None, Timestamp::UNIX_EPOCH).expect("a request");
        assert_eq!(asked.request.uri(), "http://p/api/v1/query?query=vector%281%29");
        assert_eq!(online(&success("vector", r#"[{"metric":{},"value":[1,"1"]}]"#)), Ok(1.0));
        assert_eq!(
            online(&success("vector", r#"[{"metric":{},"value":[1,"2"]}]"#)),
            Err(MeasureError::Wrong("value is not 1 for query: vector(1)".into()))
        );
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<f64>().prop_map(serde_json::Value::from),
            prop_oneof![Just("NaN"), Just("1e999"), Just("+Inf"), Just("vector"), Just("1")]
                .prop_map(serde_json::Value::from),
        ];
        let key = prop_oneof![Just("data"), Just("resultType"), Just("result"), Just("value"), Just("metric")];
        leaf.prop_recursive(5, 64, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..5)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_body_panics_and_no_value_is_unfinite(status in 100_u16..600, body in any::<Vec<u8>>()) {
            let response = Response::builder().status(status).body(Bytes::from(body)).expect("a response");
            prop_assert!(parse(&response).is_ok_and(f64::is_finite) || parse(&response).is_err());
        }

        #[test]
        fn no_json_panics_and_no_value_is_unfinite(whole in json(), result in json(), kind in "vector|scalar|matrix") {
            for response in [answer(200, &whole.to_string()), success(&kind, &result.to_string())] {
                prop_assert!(parse(&response).map_or(true, f64::is_finite));
            }
        }
    }
}
