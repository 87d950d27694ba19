//! A connection's two ends.

use core::net::{IpAddr, Ipv6Addr};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;

/// Local or remote ports that a filter can name.
pub const MAX_PORTS: u32 = 64;

/// Addresses and ports; `s` is the local end, `d` the remote one.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Addresses {
    /// `AF_INET` or `AF_INET6`
    pub family: u16,
    /// In host order, as both ports.
    pub sport: u16,
    pub dport: u16,
    pub unused: u16,
    /// In network order; an IPv4 address is in the first four bytes.
    pub saddr: [u8; 16],
    pub daddr: [u8; 16],
}

const _: () = assert!(size_of::<Addresses>() == 40);

impl Addresses {
    #[must_use]
    pub fn source(&self) -> IpAddr {
        self.address(self.saddr)
    }

    #[must_use]
    pub fn destination(&self) -> IpAddr {
        self.address(self.daddr)
    }

    /// The version of IP spoken: 4 also where an IPv6 socket does it by mapped addresses.
    #[must_use]
    pub fn ip_version(&self) -> u8 {
        if self.destination().is_ipv4() { 4 } else { 6 }
    }

    fn address(&self, bytes: [u8; 16]) -> IpAddr {
        let [a, b, c, d, ..] = bytes;
        if self.family == AF_INET {
            IpAddr::from([a, b, c, d])
        } else {
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v6(saddr: &str, daddr: &str) -> Addresses {
        let octets = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
        Addresses {
            family: AF_INET6,
            sport: 1,
            dport: 2,
            unused: 0,
            saddr: octets(saddr),
            daddr: octets(daddr),
        }
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        assert_eq!(v6("::1", "::1").ip_version(), 6);
        let mapped = v6("::ffff:127.0.0.1", "::ffff:127.0.0.2");
        assert_eq!(mapped.ip_version(), 4);
        assert_eq!(mapped.destination(), IpAddr::from([127, 0, 0, 2]));
    }
}
