//! Where things lie.

use std::path::PathBuf;

/// Environment variable that names the instance of the cluster; two instances run beside each other.
pub const NAME: &str = "ROLLOUTS_CLUSTER_NAME";

/// The root of the repository that this crate was built from.
pub fn repository() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().map(PathBuf::from).unwrap_or(tests)
}

/// `target/cluster` of the repository: built programs, and one folder for each instance.
pub(crate) fn cluster_dir() -> PathBuf {
    repository().join("target/cluster")
}

/// The folder of the instance: state, kubeconfigs, logs, data (`target/cluster/run` unless `ROLLOUTS_CLUSTER_NAME` says otherwise).
pub fn run_dir() -> PathBuf {
    cluster_dir().join(std::env::var(NAME).unwrap_or_else(|_| "run".into()))
}
