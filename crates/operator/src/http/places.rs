//! What an IP address means: which ones lead to this machine, its link or its cloud, and in which spellings. It resolves
//! and sends nothing.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::guard::named;

/// The addresses at which clouds tell a machine's secrets and that are not link-local: Alibaba's, Oracle's, Azure's.
const METADATA: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];
/// The same of version 6: Google's and Scaleway's.
const METADATA_6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)];

/// What an address is that no object may name; none for all others.
pub(super) fn kind(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => kind_of_4(address),
        IpAddr::V6(address) => kind_of_6(address),
    }
}

fn kind_of_4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        // Linux takes all of it for this host.
        [0, ..] => Some("an unspecified address"),
        [127, ..] => Some("a loopback address"),
        [169, 254, ..] => Some("a link-local address"),
        [224..=239, ..] => Some("a multicast address"),
        [240..=255, ..] => Some("a reserved or broadcast address"),
        _ => METADATA.contains(&address).then_some("a cloud's metadata address"),
    }
}

fn kind_of_6(address: Ipv6Addr) -> Option<&'static str> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("an unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("a loopback address"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        // What link-local addresses were called for a site, before they were given up.
        [0xfec0..=0xfeff, ..] => Some("a site-local address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        // Amazon's: the machine's metadata (::254), and the credentials of pods (::23).
        [0xfd00, 0xec2, ..] => Some("a cloud's metadata address"),
        _ => METADATA_6.contains(&address).then_some("a cloud's metadata address"),
    }
}

/// An address, and the one of version 4 that it is a spelling of: mapped, compatible, translated, 6to4, NAT64, Teredo,
/// ISATAP.
pub(super) fn spellings(address: IpAddr) -> Vec<IpAddr> {
    let embedded = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => embedded(address),
    };
    [Some(address), embedded.map(IpAddr::V4)].into_iter().flatten().collect()
}

fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        // `::` and `::1` are what they are.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // Teredo writes the client's address with each bit turned round.
        [0x2001, 0, _, _, _, _, high, low] => of(!high, !low),
        // Compatible (::a.b.c.d), mapped (::ffff:a.b.c.d), translated (::ffff:0:a.b.c.d).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        // NAT64, with the well-known prefix and the one for local use.
        | [0x64, 0xff9b, 0 | 1, _, _, _, high, low]
        // 6to4 and ISATAP.
        | [0x2002, high, low, ..]
        | [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => of(high, low),
        _ => None,
    }
}

/// What may be named although it would be refused: `-allow-addresses`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exceptions {
    blocks: Vec<Block>,
    names: BTreeSet<String>,
}

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    first: IpAddr,
    bits: u32,
}

impl Block {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let first: IpAddr = address.parse().ok()?;
        let all = if first.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(all), |bits| bits.parse().ok())?;
        (bits <= all).then_some(Self { first, bits })
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                (first.to_bits() ^ address.to_bits()).checked_shr(32 - self.bits).unwrap_or_default() == 0
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                (first.to_bits() ^ address.to_bits()).checked_shr(128 - self.bits).unwrap_or_default() == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl Exceptions {
    /// Reads addresses, blocks of addresses (`10.0.0.0/8`) and names of hosts.
    ///
    /// # Errors
    /// The part that is none of these.
    pub fn parse<'a>(parts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut exceptions = Self::default();
        for part in parts {
            let is_name = |text: &str| text.split('.').all(|label| !label.is_empty() && label.chars().all(is_letter));
            if let Some(block) = Block::parse(part.trim_matches(['[', ']'])) {
                exceptions.blocks.push(block);
            } else if is_name(&named(part)) {
                exceptions.names.insert(named(part));
            } else {
                return Err(format!("{part:?} is no address, block of addresses or name of a host"));
            }
        }
        Ok(exceptions)
    }

    pub(super) fn has_address(&self, address: IpAddr) -> bool {
        self.blocks.iter().any(|block| block.contains(address))
    }

    pub(super) fn has_name(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}

const fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '-' || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why an address is refused, in whichever spelling.
    fn refused(text: &str) -> Option<&'static str> {
        spellings(text.parse().unwrap()).into_iter().find_map(kind)
    }

    #[test]
    fn what_leads_to_this_machine_its_link_or_its_cloud_is_known_in_every_spelling() {
        fn check(texts: &[&str], expected: Option<&str>) {
            for text in texts {
                assert_eq!(refused(text), expected, "{text}");
            }
        }
        let loopback = ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1"];
        check(&loopback, Some("a loopback address"));
        let loopback = ["64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2001:0:1:2:3:4:80ff:fffe"];
        check(&loopback, Some("a loopback address"));
        check(&["fd00::5efe:127.0.0.1"], Some("a loopback address"));
        let link = ["169.254.169.254", "fe80::1", "febf::1", "::ffff:a9fe:a9fe", "2002:a9fe:a9fe::1"];
        check(&link, Some("a link-local address"));
        check(&["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0"], Some("an unspecified address"));
        check(&["224.0.0.1", "239.255.255.255", "ff02::1"], Some("a multicast address"));
        check(&["255.255.255.255", "240.0.0.1"], Some("a reserved or broadcast address"));
        let cloud = ["100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254"];
        check(&cloud, Some("a cloud's metadata address"));
        // Amazon's for the credentials of pods, Scaleway's.
        check(&["fd00:ec2::23", "fd00:42::42"], Some("a cloud's metadata address"));
        check(&["10.96.0.1", "192.168.1.1", "8.8.8.8", "fd00::1", "2606:4700::1111", "64:ff9b::808:808"], None);
    }

    #[test]
    fn exceptions_are_addresses_blocks_and_names_and_nothing_else() {
        fn check(text: &str, addresses: &[&str], others: &[&str]) {
            let exceptions = Exceptions::parse([text]).unwrap();
            for address in addresses {
                assert!(exceptions.has_address(address.parse().unwrap()), "{text} {address}");
            }
            for other in others {
                assert!(!exceptions.has_address(other.parse().unwrap()), "{text} {other}");
            }
        }
        check("127.0.0.1", &["127.0.0.1"], &["127.0.0.2", "::1"]);
        check("10.0.0.0/8", &["10.0.0.1", "10.255.255.255"], &["11.0.0.0", "9.255.255.255"]);
        check("0.0.0.0/0", &["127.0.0.1", "255.255.255.255"], &["::1"]);
        check("[::1]", &["::1"], &["::2"]);
        check("fd00::/8", &["fd12::1"], &["fe80::1"]);
        let names = Exceptions::parse(["Prometheus.Local.", "localhost"]).unwrap();
        assert!(names.has_name("prometheus.local") && names.has_name("localhost") && !names.has_name("local"));
        for wrong in ["10.0.0.0/33", "http://x", "a b", "10.0.0.1:80", "::1/129", "-x/", "a..b"] {
            assert!(Exceptions::parse([wrong]).is_err(), "{wrong}");
        }
    }
}
