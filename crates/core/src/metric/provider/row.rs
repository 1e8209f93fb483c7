//! What a row of the table of providers says, and the form of a conversation with one: a request, what its answer means,
//! and so on until there is a number. It must not send, wait or know the time.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::{SignedDuration, Timestamp};

use crate::metric::error::MeasureError;
use crate::metric::template::QUERY_LIMIT_BYTES;
use crate::question::ProviderSource;

/// The decoded `data` of a Secret.
pub type Secret = BTreeMap<String, Vec<u8>>;

/// A number that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Whom to ask: everything of the MetricTemplate but the content of its Secret.
    pub source: &'a ProviderSource,
    /// The rendered query.
    pub text: &'a str,
    /// How far the metric looks back: its `interval`.
    pub window: SignedDuration,
    /// When it is asked.
    pub now: Timestamp,
}

/// What follows from an answer that came at this time. What a later step needs, such as a token, it holds.
pub type Answered = Box<dyn FnOnce(&Response<Bytes>, Timestamp) -> Result<Next, MeasureError> + Send>;

/// One step of a conversation: what is sent, and what its answer means.
pub struct Exchange {
    /// How long to wait before it is sent, for what is polled. It counts for the deadline of the whole conversation.
    pub pause: Duration,
    /// What is sent.
    pub request: Request<Bytes>,
    /// What its answer means.
    pub answered: Answered,
}

/// How a conversation goes on.
#[derive(Debug)]
pub enum Next {
    /// With another step.
    Send(Box<Exchange>),
    /// It has ended with a number, which is finite.
    Sample(f64),
}

impl Next {
    /// Another step.
    pub fn send(exchange: Exchange) -> Self {
        Self::Send(Box::new(exchange))
    }
}

impl Exchange {
    /// A step that is sent at once.
    pub fn new(
        request: Request<Bytes>,
        answered: impl FnOnce(&Response<Bytes>, Timestamp) -> Result<Next, MeasureError> + Send + 'static,
    ) -> Self {
        Self { pause: Duration::ZERO, request, answered: Box::new(answered) }
    }

    /// The last step: its answer is the number, or says why there is none.
    pub fn last(request: Request<Bytes>, read: fn(&Response<Bytes>) -> Result<f64, MeasureError>) -> Self {
        Self::new(request, move |response, _| read(response).map(Next::Sample))
    }

    /// The same after a pause.
    #[must_use]
    pub fn after(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }
}

/// Method and host; path, query and headers may hold what nobody may read.
impl fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pause: _, request, answered: _ } = self;
        write!(formatter, "Exchange({} {})", request.method(), request.uri().host().unwrap_or_default())
    }
}

/// What a provider speaks. Each one has a file, with credentials of its own type.
pub(super) trait Protocol {
    /// Its word in `spec.provider.type`.
    const NAME: &'static str;
    /// Who answers, for the docs.
    const ABOUT: &'static str;
    /// Where it is if no address is written; none if one must be.
    const ADDRESS: Option<&'static str>;
    /// Which keys of the Secret are read, for the docs.
    const SECRET: &'static str;
    /// What is read of the Secret. It has no `Debug`, or one that shows nothing of it.
    type Credentials;

    /// Reads the Secret, if the MetricTemplate names one. The error says what is missing, and shows nothing that is there.
    fn credentials(secret: Option<&Secret>) -> Result<Self::Credentials, String>;

    /// The first step towards a number.
    fn start(query: &Query<'_>, credentials: Self::Credentials) -> Result<Exchange, MeasureError>;

    /// The first step towards knowing whether it answers at all. The number in the end means nothing.
    fn online(
        source: &ProviderSource,
        credentials: Self::Credentials,
        now: Timestamp,
    ) -> Result<Exchange, MeasureError>;
}

type Start = fn(&Query<'_>, Option<&Secret>) -> Result<Exchange, MeasureError>;
type Online = fn(&ProviderSource, Option<&Secret>, Timestamp) -> Result<Exchange, MeasureError>;

/// One provider.
pub struct Row {
    /// Its word in `spec.provider.type`.
    pub name: &'static str,
    /// Who answers, for the docs.
    pub about: &'static str,
    /// Where it is if no address is written; none if one must be.
    pub address: Option<&'static str>,
    /// Which keys of the Secret are read, for the docs.
    pub secret: &'static str,
    start: Start,
    online: Online,
}

impl Row {
    /// The row of what speaks this.
    pub(super) const fn of<P: Protocol>() -> Self {
        Self {
            name: P::NAME,
            about: P::ABOUT,
            address: P::ADDRESS,
            secret: P::SECRET,
            start: |query, secret| P::start(short(query)?, credentials::<P>(secret)?),
            online: |source, secret, now| P::online(source, credentials::<P>(secret)?, now),
        }
    }

    /// The first step of a conversation that ends with a number.
    ///
    /// # Errors
    /// The address, the query or the Secret is no such provider's.
    pub fn start(&self, query: &Query<'_>, secret: Option<&Secret>) -> Result<Exchange, MeasureError> {
        (self.start)(query, secret)
    }

    /// The first step of a conversation that ends with a number, which means nothing, if the provider answers at all.
    ///
    /// # Errors
    /// The address or the Secret is no such provider's.
    pub fn online(
        &self,
        source: &ProviderSource,
        secret: Option<&Secret>,
        now: Timestamp,
    ) -> Result<Exchange, MeasureError> {
        (self.online)(source, secret, now)
    }
}

fn short<'a>(query: &'a Query<'a>) -> Result<&'a Query<'a>, MeasureError> {
    if query.text.len() > QUERY_LIMIT_BYTES {
        return Err(MeasureError::Wrong(format!("query is longer than {QUERY_LIMIT_BYTES} bytes")));
    }
    Ok(query)
}

/// What is wrong with a Secret is said of it; that none is named is said of the template.
fn credentials<P: Protocol>(secret: Option<&Secret>) -> Result<P::Credentials, MeasureError> {
    let wrong = if secret.is_some() { MeasureError::Secret } else { MeasureError::Wrong };
    P::credentials(secret).map_err(wrong)
}
