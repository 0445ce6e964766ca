//! Which addresses a metric may name: whoever writes an AnalysisTemplate must not read the cloud's credentials through the controller.
//!
//! Invariants: what is asked is what was looked at (the addresses that DNS gives are filtered, not looked up twice); redirects pass
//! through the same checks; link-local and metadata addresses are refused in every spelling (IPv4 within IPv6, NAT64). Behind an HTTP
//! proxy names are resolved by the proxy, so that only the name and literal addresses are checked.

use std::error::Error as StdError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;

/// Redirects that are followed.
const REDIRECTS: usize = 10;

/// What may be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    /// Whether link-local and metadata addresses may be asked.
    pub link_local: bool,
    /// The hosts that may be asked, such as `prometheus.monitoring` or `*.example.com`; empty for all.
    pub hosts: Vec<String>,
}

/// Why an address is not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not in the list.
    #[error("the host {0} is not among those that metrics may ask: add it to --analysis-allowed-hosts")]
    Host(String),
    /// Link-local or metadata.
    #[error(
        "the address {0} is link-local or serves cloud metadata, which metrics may not ask: see --analysis-allow-link-local"
    )]
    Address(IpAddr),
}

impl Guard {
    /// Looks at the host of an address, and at the address itself when it is no name.
    pub(super) fn check(&self, url: &Url) -> Result<(), Refused> {
        let host = url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
        if !self.hosts.is_empty() && !self.hosts.iter().any(|rule| fits(rule, &bare)) {
            return Err(Refused::Host(bare));
        }
        match bare.parse() {
            Ok(address) => self.check_address(address),
            Err(_) => Ok(()),
        }
    }

    fn check_address(&self, address: IpAddr) -> Result<(), Refused> {
        if self.link_local || !is_metadata(address) { Ok(()) } else { Err(Refused::Address(address)) }
    }

    /// What a client does about redirects.
    pub(super) fn redirects(&self) -> Policy {
        let guard = self.clone();
        Policy::custom(move |attempt| {
            if attempt.previous().len() > REDIRECTS {
                attempt.error("too many redirects")
            } else if let Err(refused) = guard.check(attempt.url()) {
                attempt.error(refused)
            } else {
                attempt.follow()
            }
        })
    }
}

/// The rule is a host, or `*.` and the end of one.
fn fits(rule: &str, host: &str) -> bool {
    let rule = rule.trim().trim_end_matches('.').to_ascii_lowercase();
    match rule.strip_prefix("*.") {
        Some(end) => host.strip_suffix(end).is_some_and(|start| start.len() > 1 && start.ends_with('.')),
        None => rule == host,
    }
}

/// The IPv4 address that an IPv6 address stands for.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return Some(mapped);
    }
    let [prefix @ .., high, low] = address.segments();
    let nat64 = prefix == [0x64, 0xff9b, 0, 0, 0, 0];
    let compatible = prefix == [0; 6] && high != 0;
    (nat64 || compatible).then(|| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
}

fn is_metadata(address: IpAddr) -> bool {
    match address {
        // 0.0.0.0/8 is this host; the others are where Alibaba, Oracle and Azure serve metadata outside of 169.254.0.0/16.
        IpAddr::V4(v4) => {
            v4.is_link_local()
                || v4 == Ipv4Addr::new(100, 100, 100, 200)
                || v4 == Ipv4Addr::new(192, 0, 0, 192)
                || v4 == Ipv4Addr::new(168, 63, 129, 16)
        }
        IpAddr::V6(v6) => {
            // fd00:ec2::/32 is where AWS serves metadata and credentials of pods, fd20:ce::254 where Google serves metadata.
            let [a, b, ..] = v6.segments();
            v6.is_unicast_link_local()
                || (a, b) == (0xfd00, 0x0ec2)
                || v6 == Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)
                || embedded(v6).is_some_and(|v4| is_metadata(IpAddr::V4(v4)))
        }
    }
}

/// DNS that gives no refused address.
pub(super) struct Resolver(pub(super) Guard);

type BoxError = Box<dyn StdError + Send + Sync>;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(BoxError::from)?;
            allowed(&guard, found.collect()).map(|good| Box::new(good.into_iter()) as Addrs).map_err(BoxError::from)
        })
    }
}

/// The addresses that may be asked; an error when there were others only.
fn allowed(guard: &Guard, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refused> {
    let refused = found.iter().find_map(|address| guard.check_address(address.ip()).err());
    let good: Vec<SocketAddr> = found.into_iter().filter(|address| guard.check_address(address.ip()).is_ok()).collect();
    match refused {
        Some(refused) if good.is_empty() => Err(refused),
        Some(_) | None => Ok(good),
    }
}

/// The refusal among the causes of an error.
pub(super) fn refusal(error: &(dyn StdError + 'static)) -> Option<Refused> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(refused) = cause.downcast_ref::<Refused>() {
            return Some(refused.clone());
        }
        next = cause.source();
    }
    None
}

/// The resolver of a client with this guard.
pub(super) fn resolver(guard: &Guard) -> Arc<Resolver> {
    Arc::new(Resolver(guard.clone()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refused(guard: &Guard, address: &str) -> bool {
        guard.check(&Url::parse(address).unwrap()).is_err()
    }

    #[test]
    fn metadata_is_refused_in_every_spelling() {
        let guard = Guard::default();
        for bad in [
            "http://169.254.169.254/latest/meta-data",
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://0251.0376.0251.0376/",
            "http://169.254.170.2/v2/credentials",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[::169.254.169.254]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[fd00:ec2::254]/",
            "http://[fd00:ec2::23]/",
            "http://[fd20:ce::254]/",
            "http://100.100.100.200/",
            "http://192.0.0.192/",
            "http://168.63.129.16/",
        ] {
            assert!(refused(&guard, bad), "{bad}");
            assert!(!refused(&Guard { link_local: true, ..Guard::default() }, bad), "{bad}");
        }
        for good in ["http://10.0.0.1/", "http://127.0.0.1:9090/", "http://[::1]/", "http://prometheus:9090/"] {
            assert!(!refused(&guard, good), "{good}");
        }
    }

    #[test]
    fn what_dns_gives_is_looked_at() {
        let guard = Guard::default();
        let bad: SocketAddr = "169.254.169.254:80".parse().unwrap();
        let good: SocketAddr = "10.0.0.1:80".parse().unwrap();
        assert_eq!(allowed(&guard, vec![bad]), Err(Refused::Address(bad.ip())));
        assert_eq!(allowed(&guard, vec![bad, good]), Ok(vec![good]));
        assert_eq!(allowed(&Guard { link_local: true, ..Guard::default() }, vec![bad]), Ok(vec![bad]));
    }

    #[test]
    fn hosts_are_allowed_by_name_and_by_end() {
        let guard =
            Guard { hosts: vec!["Prometheus.monitoring".to_owned(), "*.example.com".to_owned()], ..Guard::default() };
        for good in ["http://prometheus.monitoring:9090/", "https://a.example.com", "https://b.a.example.com."] {
            assert!(!refused(&guard, good), "{good}");
        }
        for bad in [
            "http://prometheus",
            "https://example.com",
            "https://badexample.com",
            "https://.example.com.evil.org",
            "http://10.0.0.1",
        ] {
            assert!(refused(&guard, bad), "{bad}");
        }
    }
}
