//! Where names lead. The system's own lookup keeps a thread until its server answers, whoever has given up by then: a few
//! names whose server hangs would keep all threads that there are. These lookups end when nobody waits for them any more.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// More addresses of one name are not looked at.
const MOST_ADDRESSES: usize = 32;
/// A name server that has not answered by then is asked again, whatever `/etc/resolv.conf` says.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The name servers and search domains of this machine.
#[derive(Clone, Debug)]
pub(super) struct Names(Result<TokioResolver, String>);

impl Default for Names {
    /// Those of `/etc/resolv.conf` and `/etc/hosts`; without the former, the name server of this machine.
    fn default() -> Self {
        let alone = || ResolverConfig::from_parts(None, Vec::new(), vec![server(Ipv4Addr::LOCALHOST.into())]);
        let (config, options) = hickory_resolver::system_conf::read_system_conf().unwrap_or_else(|error| {
            tracing::warn!("/etc/resolv.conf cannot be read, asking the name server of this machine: {error}");
            (alone(), ResolverOpts::default())
        });
        // The domain of the machine's own name is no search domain.
        let config = ResolverConfig::from_parts(None, config.search().to_vec(), config.name_servers().to_vec());
        Self::of(config, options)
    }
}

impl Names {
    fn of(config: ResolverConfig, mut options: ResolverOpts) -> Self {
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.timeout = options.timeout.min(LONGEST_WAIT);
        // Whoever owns a name chooses how large its answers are, and how long they would be kept.
        options.cache_size = 0;
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        Self(builder.build().map_err(|error| error.to_string()))
    }

    /// The addresses of a name, those of version 4 first.
    pub(super) async fn addresses(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let resolver = self.0.as_ref().map_err(|error| io::Error::other(error.clone()))?;
        let found = resolver.lookup_ip(name).await.map_err(|error| {
            let reason = if error.is_no_records_found() { "no such host".to_owned() } else { error.to_string() };
            io::Error::other(format!("lookup {name}: {reason}"))
        })?;
        Ok(found.iter().take(MOST_ADDRESSES).map(|address| SocketAddr::new(address, 0)).collect())
    }
}

fn server(address: IpAddr) -> NameServerConfig {
    NameServerConfig::udp_and_tcp(address)
}

/// For the clients of requests that the administrator aims.
impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.clone();
        Box::pin(async move { Ok(Box::new(names.addresses(name.as_str()).await?.into_iter()) as Addrs) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::future::join_all;
    use tokio::net::UdpSocket;

    use super::*;

    /// The names of a server at a port of this machine.
    fn asking(port: u16) -> Names {
        let mut server = server(Ipv4Addr::LOCALHOST.into());
        for connection in &mut server.connections {
            connection.port = port;
        }
        Names::of(ResolverConfig::from_parts(None, Vec::new(), vec![server]), ResolverOpts::default())
    }

    #[test]
    fn a_name_whose_server_hangs_holds_no_thread_and_is_asked_for_no_longer_than_somebody_waits() {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(1).max_blocking_threads(1).enable_all();
        runtime.build().unwrap().block_on(async {
            let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let names = Arc::new(asking(silent.local_addr().unwrap().port()));
            let asked = (0..40).map(|number| {
                let names = names.clone();
                async move { names.addresses(&format!("{number}.shop.example.")).await }
            });
            let waited = tokio::time::timeout(Duration::from_millis(300), join_all(asked)).await;
            assert!(waited.is_err(), "nobody has answered: {waited:?}");
            let (mut packet, mut questions) = ([0; 512], 0);
            while silent.try_recv(&mut packet).is_ok() {
                questions += 1;
            }
            assert!(questions >= 80, "both kinds of addresses of all names were asked for: {questions}");
            let thread = tokio::time::timeout(Duration::from_secs(5), tokio::task::spawn_blocking(|| "free")).await;
            assert!(matches!(thread, Ok(Ok("free"))), "{thread:?}");
        });
    }
}
