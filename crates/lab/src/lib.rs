//! A real one-node Kubernetes with real Istio on this machine, from package registries alone. For the demo, the e2e
//! tests and the benchmarks only: nothing that is released may depend on it.
//!
//! Traffic stays inside a network namespace of the lab's own, and everything it starts ends with it.
mod cluster;
mod command;
mod counters;
mod fetch;
mod forward;
mod gateway;
mod image;
mod images;
mod install;
mod instance;
mod interrupt;
mod keda;
mod kubernetes;
mod kwok;
mod lab;
mod load;
mod mesh;
mod metrics_server;
mod network;
mod options;
mod parts;
mod pods;
mod prerequisites;
mod process;
mod progress;
mod prometheus;
mod recipe;
mod teardown;
mod template;

pub use cluster::Cluster;
pub use counters::Counters;
pub use gateway::Gateway;
pub use image::Image;
pub use images::{PODINFO_VERSIONS, alertmanager as alertmanager_image, operator as operator_image};
pub use install::{Installation, install};
pub use instance::check_name;
pub use kwok::NODE as KWOK_NODE;
pub use lab::Lab;
pub use load::{Answers, Load, Request};
pub use network::{GATEWAY_ADDRESS, NODE_ADDRESS};
pub use nix::sys::signal::Signal;
pub use options::{Extent, Extra, Options};
pub use parts::Parts;
pub use prerequisites::{Missing, Unmet};
pub use process::{Component, Identity, Processes, start_no_more, wait_if_interrupted};
pub use progress::{say, seconds};
pub use prometheus::{ADDRESS as PROMETHEUS_ADDRESS, query};
pub use recipe::{HELM_VERSION, KUBERNETES_VERSION};
