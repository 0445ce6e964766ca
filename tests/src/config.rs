//! The files that the parts of the cluster read: one token and one kubeconfig for each user, Prometheus' configuration.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use crate::state::Ports;

/// Each component is a user of its own, so that rights and the audit log tell them apart.
const USERS: [(&str, &str); 8] = [
    ("admin", "system:masters"),
    ("kubectl", "system:masters"),
    ("controller", "system:authenticated"),
    ("kube-controller-manager", "system:masters"),
    ("kube-scheduler", "system:masters"),
    ("kwok", "system:masters"),
    ("pods", "system:authenticated"),
    ("traefik", "system:authenticated"),
];

/// The kubeconfig of a user.
pub(crate) fn kubeconfig(run: &Path, user: &str) -> PathBuf {
    run.join(format!("{user}.kubeconfig"))
}

/// Writes `tokens.csv` with fresh tokens and returns them by user.
pub(crate) fn write_tokens(run: &Path) -> Result<BTreeMap<&'static str, String>> {
    let mut tokens = BTreeMap::new();
    let mut file = String::new();
    let mut random = fs::File::open("/dev/urandom")?;
    for (user, group) in USERS {
        let mut bytes = [0_u8; 16];
        random.read_exact(&mut bytes)?;
        let token = format!("{:032x}", u128::from_ne_bytes(bytes));
        let _ = writeln!(file, "{token},{user},{user},\"{group}\"");
        tokens.insert(user, token);
    }
    fs::write(run.join("tokens.csv"), file)?;
    Ok(tokens)
}

/// Writes every user's kubeconfig; the API server has made its certificate by now.
pub(crate) fn write_kubeconfigs(run: &Path, ports: &Ports, tokens: &BTreeMap<&str, String>) -> Result<()> {
    for (user, token) in tokens {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://127.0.0.1:{}", ports.api),
                "certificate-authority": certificate(run),
            }}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user, "namespace": "default"}}],
        });
        fs::write(kubeconfig(run, user), serde_json::to_vec_pretty(&config)?)?;
    }
    Ok(())
}

/// The API server's self-signed certificate.
pub(crate) fn certificate(run: &Path) -> PathBuf {
    run.join("certs/apiserver.crt")
}

/// Fills in `tests/cluster/prometheus.yaml`.
pub(crate) fn write_prometheus(run: &Path, sources: &Path, pod_port: u16) -> Result<()> {
    let path = sources.join("prometheus.yaml");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(fs::write(run.join("prometheus.yaml"), text.replace("${PODS}", &pod_port.to_string()))?)
}
