//! What can be wrong with a server, and with which requests. It counts, and does nothing itself.

use std::time::Duration;

use serde_json::Value;

use crate::seen::{Seen, Verb};

/// What is done instead of answering.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The answer begins so much later.
    DelayHeaders(Duration),
    /// The headers come at once, the rest so much later.
    DelayBody(Duration),
    /// An error of Kubernetes, such as 403, 409, 422, 500, 503; nothing is done.
    Refuse(u16),
    /// An error with `Retry-After`: so many seconds from now.
    RefuseFor(u16, u32),
    /// What was asked for is done, and the answer never comes: the writer cannot know.
    DoAndHang,
    /// It is taken and never answered.
    Hang,
    /// The headers are sent, and then nothing any more. A watch is open and silent, without bookmarks.
    HangAfterHeaders,
    /// Half of the answer, or of the next event of a watch, and then nothing any more.
    HangInTheMiddle,
    /// Half of the answer, or of the next event of a watch, and then the end of the connection.
    CutInTheMiddle,
    /// The connection ends without an answer.
    Cut,
    /// This is answered with 200, whatever was asked.
    Lie(Value),
    /// 200, and bytes that mean nothing; a watch stays open after them.
    Garbage,
    /// Bytes that are not HTTP.
    NotHttp,
    /// The server says that it sends no more, goes on reading, and never answers.
    HalfClose,
}

/// Which requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    verb: Option<Verb>,
    plural: Option<String>,
    name: Option<String>,
}

impl Requests {
    /// All of them.
    pub fn all() -> Self {
        Self::default()
    }

    /// Those with a verb, for a kind by its plural name.
    pub fn of(verb: Verb, plural: &str) -> Self {
        Self { verb: Some(verb), plural: Some(plural.to_owned()), name: None }
    }

    /// Those for a kind, whatever the verb.
    pub fn about(plural: &str) -> Self {
        Self { plural: Some(plural.to_owned()), ..Self::default() }
    }

    /// Of these only those for an object of this name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Whether a request is one of them.
    pub fn hold(&self, seen: &Seen) -> bool {
        let fits = |wanted: &Option<String>, is: Option<&str>| wanted.is_none() || wanted.as_deref() == is;
        self.verb.is_none_or(|verb| verb == seen.verb)
            && fits(&self.plural, seen.plural())
            && fits(&self.name, seen.name())
    }
}

/// How often something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// So often, and then no more.
    Next(usize),
    /// Until it is ended.
    Always,
}

#[derive(Debug)]
struct Order {
    requests: Requests,
    fault: Fault,
    times: Times,
}

/// The faults that are to happen, first come first served.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    orders: Vec<Order>,
}

impl Faults {
    pub(crate) fn add(&mut self, requests: Requests, fault: Fault, times: Times) {
        self.orders.push(Order { requests, fault, times });
    }

    pub(crate) fn end(&mut self) {
        self.orders.clear();
    }

    /// What happens to a request.
    pub(crate) fn take(&mut self, seen: &Seen) -> Option<Fault> {
        let at = self.orders.iter().position(|order| order.requests.hold(seen))?;
        let fault = self.orders[at].fault.clone();
        match &mut self.orders[at].times {
            Times::Always => {}
            Times::Next(left) if *left > 1 => *left -= 1,
            Times::Next(_) => drop(self.orders.remove(at)),
        }
        Some(fault)
    }
}
