//! Which addresses a hook may lead to: public ones, and those of the networks that the settings name. Judged
//! when a name is resolved, so that what is judged is what is connected to.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

/// A network: an address, and how many of its first bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = match text.split_once('/') {
            None => (text, None),
            Some((address, bits)) => (address, Some(bits.parse::<u32>().map_err(|_| ())?)),
        };
        let address: IpAddr = address.trim_matches(['[', ']']).parse().map_err(|_| ())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits <= most { Ok(Self { address, bits }) } else { Err(()) }
    }
}

impl Network {
    fn holds(self, address: IpAddr) -> bool {
        let same = |ours: u128, theirs: u128, width: u32| {
            self.bits == 0 || (ours ^ theirs) >> (width - self.bits) == 0
        };
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                same(ours.to_bits().into(), theirs.to_bits().into(), 32)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => same(ours.to_bits(), theirs.to_bits(), 128),
            _ => false,
        }
    }
}

/// The networks that are not public and allowed nevertheless.
#[derive(Clone, Debug, Default)]
pub(super) struct Networks(Arc<[Network]>);

impl Networks {
    /// The networks of these texts, or the first text that is none.
    pub(super) fn new(texts: &[String]) -> Result<Self, &str> {
        let networks = texts.iter().map(|text| text.parse().map_err(|()| &**text));
        networks.collect::<Result<Vec<_>, _>>().map(|networks| Self(networks.into()))
    }

    pub(super) fn allow(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.0.iter().any(|network| network.holds(address))
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || matches!((a, b, c), (0 | 240.., _, _) | (100, 64..128, _) | (192, 0, 0) | (198, 18 | 19, _));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded =
        |high: u16, low: u16| is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match segments {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        // Documentation, and tunnels whose far end nobody can tell.
        [0x2001, 0xdb8 | 0, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Resolves names to addresses that are allowed.
pub(super) struct Guarded(pub(super) Networks);

/// A name that leads nowhere where a backend may be.
#[derive(Debug, thiserror::Error)]
#[error("{name} leads to {address}, which is not public and not in hooks.private_networks")]
struct Forbidden {
    name: String,
    address: IpAddr,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = self.0.clone();
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((&*name, 0)).await?.collect();
            let first = found.first().map(SocketAddr::ip);
            let allowed: Vec<_> = found.into_iter().filter(|address| networks.allow(address.ip())).collect();
            match first {
                Some(address) if allowed.is_empty() => Err(Forbidden { name, address }.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(networks: &[&str], address: &str) -> bool {
        let networks: Vec<String> = networks.iter().map(|network| (*network).to_owned()).collect();
        Networks::new(&networks).unwrap().allow(address.parse().unwrap())
    }

    #[test]
    fn only_public_addresses_are_allowed() {
        for address in
            ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "64:ff9b::808:808", "2002:808:808::1"]
        {
            assert!(allowed(&[], address), "{address}");
        }
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2001:db8::1",
        ] {
            assert!(!allowed(&[], address), "{address}");
        }
    }

    #[test]
    fn networks_of_the_settings_are_allowed_too() {
        assert!(allowed(&["127.0.0.0/8"], "127.1.2.3"));
        assert!(allowed(&["127.0.0.0/8"], "::ffff:127.0.0.1"));
        assert!(!allowed(&["127.0.0.0/8"], "10.0.0.1"));
        assert!(allowed(&["10.1.2.3"], "10.1.2.3"));
        assert!(!allowed(&["10.1.2.3"], "10.1.2.4"));
        assert!(allowed(&["fd00::/8"], "fd12::1"));
        assert!(!allowed(&["fd00::/8"], "fe80::1"));
        assert!(allowed(&["0.0.0.0/0", "::/0"], "::1"));
        for wrong in ["", "10.0.0.0/33", "::1/129", "localhost", "10.0.0.0/x"] {
            assert!(Networks::new(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
