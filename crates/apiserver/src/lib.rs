//! A fake Kubernetes API server over real sockets, for tests of the edge. It stores what it is given and answers as the
//! real one does: versions, conflicts, pages, watches with bookmarks, patches, preconditions, finalizers. On command it
//! delays, refuses, hangs, lies, and stops in the middle of an event. It counts requests and connections. It must not be
//! needed by anything but tests.

mod address;
mod faults;
mod objects;
mod refusal;
mod seen;
mod serve;
mod server;
mod wire;

pub use address::Address;
pub use faults::{Fault, Requests, Times};
pub use refusal::Refusal;
pub use seen::{Seen, Verb};
pub use server::ApiServer;
pub use wire::{Answer, Stream};
