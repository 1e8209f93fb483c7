//! New Relic's Insights query API: one NRQL query, one row with the column `result`. It must not show the account or the key.

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::row::{Exchange, Protocol, Query, Secret};
use super::wire::{self, Few, Headers};
use crate::metric::error::MeasureError;
use crate::metric::template::collapse;
use crate::question::ProviderSource;

const ONLINE_QUERY: &str = "SELECT * FROM Metric";

pub(super) struct NewRelic;

/// The number of an account, and a key to its data. They are shown nowhere: this has no `Debug`.
pub(super) struct Account {
    id: String,
    key: String,
}

impl Protocol for NewRelic {
    const NAME: &'static str = "newrelic";
    const ABOUT: &'static str = "New Relic's Insights query API";
    const ADDRESS: Option<&'static str> = Some("https://insights-api.newrelic.com");
    const SECRET: &'static str = "`newrelic_account_id` and `newrelic_query_key`, which it must have";
    type Credentials = Account;

    fn credentials(secret: Option<&Secret>) -> Result<Self::Credentials, String> {
        let entry = |key: &str| {
            let text = secret.and_then(|secret| wire::entry(secret, key)).map(|text| text.trim().to_owned());
            let text = text.filter(|text| !text.is_empty());
            text.ok_or_else(|| format!("{} credentials does not contain {key}", Self::NAME))
        };
        let account = Account { id: entry("newrelic_account_id")?, key: entry("newrelic_query_key")? };
        // It becomes a part of the path.
        if !account.id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("{} credentials contains a newrelic_account_id that is no number", Self::NAME));
        }
        Ok(account)
    }

    fn start(query: &Query<'_>, account: Self::Credentials) -> Result<Exchange, MeasureError> {
        let text = format!("{} SINCE {} seconds ago", collapse(query.text), query.window.as_secs().max(1));
        Ok(Exchange::last(request(query.source, &text, &account)?, number))
    }

    fn online(source: &ProviderSource, account: Self::Credentials, _: Timestamp) -> Result<Exchange, MeasureError> {
        Ok(Exchange::last(request(source, ONLINE_QUERY, &account)?, online))
    }
}

/// `GET <address>/v1/accounts/<id>/query?nrql=<query>` (contract: metrics §6).
fn request(source: &ProviderSource, query: &str, account: &Account) -> Result<Request<Bytes>, MeasureError> {
    let path = format!("/v1/accounts/{}/query", account.id);
    let mut url = wire::within(wire::base_url::<NewRelic>(&source.address)?, &path);
    url.query_pairs_mut().append_pair("nrql", query);
    let mut request = wire::get(url, &Headers::new(), None)?;
    let key = wire::secret_value(&account.key);
    let key = key.ok_or_else(|| MeasureError::Secret("newrelic_query_key cannot stand in a header".to_owned()))?;
    request.headers_mut().insert("x-query-key", key);
    Ok(request)
}

/// The column `result` of the one row of an answer.
fn number(response: &Response<Bytes>) -> Result<f64, MeasureError> {
    let answer: Answer<'_> = wire::read("New Relic", wire::body(response)?)?;
    match answer.results.kept.as_slice() {
        [] => Err(MeasureError::no_values()),
        [only] => only.result.map_or_else(|| Err(MeasureError::no_values()), wire::json_number),
        [_, ..] => {
            let text = format!("query returned multiple values: {} rows, expected one", answer.results.count);
            Err(MeasureError::Wrong(text))
        }
    }
}

/// Whatever it is, it answers.
fn online(response: &Response<Bytes>) -> Result<f64, MeasureError> {
    wire::body(response).map(|_| 1.0)
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    results: Few<Columns<'a>>,
}

#[derive(Deserialize)]
struct Columns<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}
