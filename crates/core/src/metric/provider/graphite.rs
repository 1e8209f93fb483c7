//! Graphite's render API: the query is the query of a URL, the answer a list of series. It must not guess which of several
//! series was meant (S9).

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::row::{Exchange, Protocol, Query, Secret};
use super::wire::{self, Few, Headers, Login};
use crate::metric::error::MeasureError;
use crate::metric::template::collapse;
use crate::question::ProviderSource;

const ONLINE_QUERY: &str = "target=test";

pub(super) struct Graphite;

impl Protocol for Graphite {
    const NAME: &'static str = "graphite";
    const ABOUT: &'static str = "Graphite's render API";
    const ADDRESS: Option<&'static str> = None;
    const SECRET: &'static str = "`username` and `password`";
    type Credentials = Option<Login>;

    fn credentials(secret: Option<&Secret>) -> Result<Self::Credentials, String> {
        secret.map(|secret| Login::basic(Self::NAME, secret)).transpose()
    }

    fn start(query: &Query<'_>, login: Self::Credentials) -> Result<Exchange, MeasureError> {
        Ok(Exchange::last(request(query.source, query.text, login)?, number))
    }

    fn online(source: &ProviderSource, login: Self::Credentials, _: Timestamp) -> Result<Exchange, MeasureError> {
        Ok(Exchange::last(request(source, ONLINE_QUERY, login)?, online))
    }
}

/// `GET <address>/render?<query>&format=json`, the query in one line (contract: metrics §6).
fn request(source: &ProviderSource, query: &str, login: Option<Login>) -> Result<Request<Bytes>, MeasureError> {
    let mut url = wire::within(wire::base_url::<Graphite>(&source.address)?, "/render");
    url.set_query(Some(&format!("{}&format=json", collapse(query))));
    wire::get(url, &Headers::new(), login)
}

/// The newest value of the one series of an answer. What is not known yet is null in it.
fn number(response: &Response<Bytes>) -> Result<f64, MeasureError> {
    let series: Few<Series<'_>> = wire::read("Graphite", wire::body(response)?)?;
    let Some(first) = series.kept.first() else { return Err(MeasureError::no_values()) };
    if series.count > 1 {
        let text = format!("query returned multiple values: {} series, expected one", series.count);
        return Err(MeasureError::Wrong(text));
    }
    let newest = first.datapoints.iter().rev().find_map(|(value, _)| *value);
    newest.map_or_else(|| Err(MeasureError::no_values()), wire::json_number)
}

/// A list of series, which may be empty: nobody has to have one of that name.
fn online(response: &Response<Bytes>) -> Result<f64, MeasureError> {
    let _: Vec<Series<'_>> = wire::read("Graphite", wire::body(response)?)?;
    Ok(1.0)
}

#[derive(Deserialize)]
struct Series<'a> {
    #[serde(borrow)]
    datapoints: Vec<(Option<&'a RawValue>, IgnoredAny)>,
}
