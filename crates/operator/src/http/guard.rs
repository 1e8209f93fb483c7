//! Which addresses the objects of a namespace may aim a request at. Whoever writes a Canary, a MetricTemplate or an
//! AlertProvider must not reach through this process what only this process reaches: its own loopback, the node's
//! metadata, the API server. It sends nothing.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::names::Names;
use super::places::{Exceptions, kind, spellings};

/// How long the addresses of an API server that has a name are believed.
const BELIEVED: Duration = Duration::from_mins(1);
/// How long a request waits for them to be looked up anew.
const LOOKED_UP: Duration = Duration::from_secs(2);
/// Variables that name proxies, in which case does not matter.
const PROXIES: [&str; 3] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// A request that may not be sent where it is aimed; the sentence says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

/// What may be reached by those who only write objects.
#[derive(Debug, Default)]
pub struct Guard {
    names: Names,
    exceptions: Exceptions,
    /// Hosts of the API servers, as the configuration writes them: names and literal addresses.
    servers: Vec<Host<String>>,
    /// Names of the environment's proxies, which the administrator chose.
    proxies: BTreeSet<String>,
    /// What the names among the servers led to, and when they were looked up.
    known: Mutex<Option<(Instant, Vec<IpAddr>)>>,
}

impl Guard {
    /// A guard over these API servers, with the exceptions of `-allow-addresses`.
    pub fn new(servers: &[String], exceptions: Exceptions) -> Self {
        let host = |host: &String| match host.parse() {
            // Variables have them without brackets.
            Ok(IpAddr::V6(address)) => Some(Host::Ipv6(address)),
            Ok(IpAddr::V4(_)) | Err(_) => Host::parse(&named(host)).ok(),
        };
        Self { exceptions, servers: servers.iter().filter_map(host).collect(), ..Self::default() }
    }

    /// The same, and where the environment's proxies are is the administrator's business.
    #[must_use]
    pub fn trusting_proxies(mut self, environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let written = PROXIES.iter().flat_map(|name| [environment(name), environment(&name.to_lowercase())]);
        let url = |text: String| if text.contains("://") { text } else { format!("http://{text}") };
        let hosts =
            written.flatten().filter_map(|text| Url::parse(&url(text)).ok()?.host().map(|host| host.to_owned()));
        self.proxies = hosts
            .filter_map(|host| match host {
                Host::Domain(name) => Some(named(&name)),
                Host::Ipv4(_) | Host::Ipv6(_) => None,
            })
            .collect();
        self
    }

    /// Whether an object may aim a request at this URL, as far as can be said before its name is resolved.
    ///
    /// # Errors
    /// Says which address is refused, and why.
    pub(super) async fn admit(&self, url: &Url) -> Result<(), Refusal> {
        let refused = |what: &str| Err(refusal(&format!("{what} may not be asked")));
        match url.host() {
            None => refused("an address without a host"),
            Some(Host::Ipv4(address)) => self.judge(&[address.into()]).await.map(drop),
            Some(Host::Ipv6(address)) => self.judge(&[address.into()]).await.map(drop),
            Some(Host::Domain(name)) => {
                let name = named(name);
                if self.exceptions.has_name(&name) {
                    return Ok(());
                }
                // A proxy would resolve these on its own machine.
                if name == "localhost" || name.ends_with(".localhost") {
                    return refused("localhost, a loopback address,");
                }
                if self.servers.contains(&Host::Domain(name.clone())) {
                    return refused("the API server");
                }
                // The resolver lets the proxies' names through, because it does not see who asks for them.
                if self.proxies.contains(&name) {
                    let found = self.names.addresses(&name).await.map_err(|error| refusal(&error.to_string()))?;
                    self.judge(&found.iter().map(SocketAddr::ip).collect::<Vec<_>>()).await?;
                }
                Ok(())
            }
        }
    }

    /// Those of the addresses that may be reached.
    ///
    /// # Errors
    /// When none is left: why the first one is refused.
    async fn judge(&self, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, Refusal> {
        let servers = self.servers_now().await;
        let reason = |address: IpAddr| {
            let mut all = spellings(address).into_iter().filter(|address| !self.exceptions.has_address(*address));
            all.find_map(|meant| if servers.contains(&meant) { Some("the API server") } else { kind(meant) })
        };
        let fine: Vec<IpAddr> = addresses.iter().copied().filter(|address| reason(*address).is_none()).collect();
        let refused = addresses.iter().find_map(|address| Some((address, reason(*address)?)));
        match refused {
            Some((address, reason)) if fine.is_empty() => {
                Err(refusal(&format!("{address}, {reason}, may not be asked")))
            }
            Some(_) | None => Ok(fine),
        }
    }

    /// Where a name leads, without what may not be reached. What is returned is what is connected to: nobody asks again.
    pub(super) async fn resolve(
        &self,
        name: &str,
    ) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let found = self.names.addresses(name).await?;
        let name = named(name);
        if self.exceptions.has_name(&name) || self.proxies.contains(&name) {
            return Ok(found);
        }
        let fine = self.judge(&found.iter().map(SocketAddr::ip).collect::<Vec<_>>()).await;
        let fine = fine.map_err(|Refusal(reason)| Refusal(format!("{name} leads to {reason}")))?;
        Ok(found.into_iter().filter(|address| fine.contains(&address.ip())).collect())
    }

    /// Every address of the API servers. A name that cannot be resolved keeps what it led to before.
    async fn servers_now(&self) -> Vec<IpAddr> {
        let mut names = Vec::new();
        let mut addresses = Vec::new();
        for server in &self.servers {
            match server {
                Host::Domain(name) => names.push(name),
                Host::Ipv4(address) => addresses.extend(spellings((*address).into())),
                Host::Ipv6(address) => addresses.extend(spellings((*address).into())),
            }
        }
        if names.is_empty() {
            return addresses;
        }
        let known = self.known();
        if let Some((_, found)) = known.as_ref().filter(|(at, _)| at.elapsed() <= BELIEVED) {
            addresses.extend(found);
            return addresses;
        }
        let found =
            join_all(names.into_iter().map(|name| tokio::time::timeout(LOOKED_UP, self.names.addresses(name)))).await;
        let mut found: Vec<IpAddr> =
            found.into_iter().flatten().flatten().flatten().flat_map(|found| spellings(found.ip())).collect();
        if found.is_empty() {
            found = known.map(|(_, before)| before).unwrap_or_default();
        }
        addresses.extend(&found);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), found));
        addresses
    }

    fn known(&self) -> Option<(Instant, Vec<IpAddr>)> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Names as this machine resolves them, for requests that the administrator aims.
    pub(super) fn names(&self) -> Names {
        self.names.clone()
    }
}

fn refusal(what: &str) -> Refusal {
    Refusal(format!("{what} by an object of the cluster, unless -allow-addresses lists it"))
}

/// A host's name as names are compared: in lower case, without the dot at its end.
pub(super) fn named(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// Resolves names for the clients of requests that objects aim.
#[derive(Clone, Debug)]
pub(super) struct Resolver(pub(super) Arc<Guard>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let found = guard.resolve(name.as_str()).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
