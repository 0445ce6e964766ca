//! kubectl's connection flags, and the client they lead to.
//!
//! The kubeconfig is read as kubectl reads it (`--kubeconfig`, else `KUBECONFIG`, else the file in the home folder), the
//! flags are laid over its chosen context, and in a pod without a kubeconfig the service account is used.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use crds::kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use crds::kube::{Client, Config};

use crate::errors::Error;
use crate::session::Session;

/// Name of the one context, cluster and user that are left once the flags are laid over the kubeconfig.
const CHOSEN: &str = "chosen";

/// The connection flags of kubectl.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Path to the kubeconfig file to use
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Name of the kubeconfig context to use
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Name of the kubeconfig cluster to use
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Name of the kubeconfig user to use
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// Namespace of the objects
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Address and port of the API server
    #[arg(short, long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Bearer token for the API server
    #[arg(long, global = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// User to act as
    #[arg(long = "as", global = true, value_name = "USER")]
    pub act_as: Option<String>,
    /// Group to act as; may be repeated
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    pub act_as_group: Vec<String>,
    /// UID to act as
    #[arg(long = "as-uid", global = true, value_name = "UID")]
    pub act_as_uid: Option<String>,
    /// Certificate authority of the API server
    #[arg(long, global = true, value_name = "FILE")]
    pub certificate_authority: Option<PathBuf>,
    /// Client certificate for TLS
    #[arg(long, global = true, value_name = "FILE")]
    pub client_certificate: Option<PathBuf>,
    /// Client key for TLS
    #[arg(long, global = true, value_name = "FILE")]
    pub client_key: Option<PathBuf>,
    /// Do not check the API server's certificate; this makes the connection insecure
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub insecure_skip_tls_verify: Option<bool>,
    /// Name to expect in the API server's certificate
    #[arg(long, global = true, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// Do not compress answers
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub disable_compression: Option<bool>,
    /// How long one request may take, such as 1s, 2m; 0 for no limit [default: 30s]
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    pub request_timeout: Option<Duration>,
    /// Accepted for the sake of scripts; nothing is cached
    #[arg(long, global = true, hide = true)]
    pub cache_dir: Option<PathBuf>,
    /// Accepted for the sake of scripts
    #[arg(short = 'v', long, global = true, hide = true)]
    pub kloglevel: Option<String>,
    /// Accepted for the sake of scripts
    #[arg(long, global = true, hide = true)]
    pub loglevel: Option<String>,
}

/// A duration as kubectl takes it: a number of seconds, or with units.
///
/// # Errors
/// The text is neither.
pub fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    crds::duration::parse(text).map_err(|error| error.to_string())
}

impl Connection {
    /// The session these flags describe. Nothing is sent yet.
    ///
    /// # Errors
    /// The kubeconfig or the flags do not make sense.
    pub async fn session(&self) -> Result<Session, Error> {
        let config = self.config().await?;
        let server = config.cluster_url.to_string();
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).map_err(|error| {
            Error::Connection(format!("could not use the connection settings for {server}: {error}"))
        })?;
        let mut session = Session::new(client, namespace, server.trim_end_matches('/'));
        if let Some(limit) = self.request_timeout {
            session.request_timeout = (!limit.is_zero()).then_some(limit);
        }
        Ok(session)
    }

    /// The client's settings.
    ///
    /// # Errors
    /// As [`session`](Self::session).
    pub async fn config(&self) -> Result<Config, Error> {
        let kubeconfig = self.kubeconfig()?;
        let in_pod = || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        let mut config = match self.chosen(&kubeconfig)? {
            Some(chosen) => Config::from_custom_kubeconfig(chosen, &KubeConfigOptions::default()).await?,
            None if in_pod() => Config::incluster().map_err(|error| {
                Error::Connection(format!("could not use the service account of this pod: {error}"))
            })?,
            None => {
                return Err(Error::Connection(
                    "no cluster chosen: set a current context in the kubeconfig, or use --context or --server"
                        .to_owned(),
                ));
            }
        };
        if let Some(namespace) = &self.namespace {
            config.default_namespace.clone_from(namespace);
        }
        Ok(config)
    }

    fn kubeconfig(&self) -> Result<Kubeconfig, Error> {
        if let Some(path) = &self.kubeconfig {
            return Ok(Kubeconfig::read_from(path)?);
        }
        if let Some(kubeconfig) = Kubeconfig::from_env()? {
            return Ok(kubeconfig);
        }
        let home = std::env::home_dir().map(|home| home.join(".kube").join("config"));
        match home.filter(|path| path.exists()) {
            Some(path) => Ok(Kubeconfig::read_from(path)?),
            None => Ok(Kubeconfig::default()),
        }
    }

    /// A kubeconfig with one context, in which every flag has been honoured; `None` when there is nothing to start from.
    fn chosen(&self, kubeconfig: &Kubeconfig) -> Result<Option<Kubeconfig>, Error> {
        let name = self.context.as_ref().or(kubeconfig.current_context.as_ref()).filter(|name| !name.is_empty());
        let context = match name {
            Some(name) => {
                let found = kubeconfig.contexts.iter().find(|context| &context.name == name);
                let context = found.and_then(|context| context.context.clone());
                context.ok_or_else(|| Error::Connection(format!("context \"{name}\" does not exist")))?
            }
            None if self.server.is_some() || self.cluster.is_some() => Context::default(),
            None => return Ok(None),
        };
        let cluster_name = self.cluster.as_ref().unwrap_or(&context.cluster);
        let found = kubeconfig.clusters.iter().find(|cluster| &cluster.name == cluster_name);
        let mut cluster = match found.and_then(|cluster| cluster.cluster.clone()) {
            Some(cluster) => cluster,
            None if self.server.is_some() && self.cluster.is_none() => Cluster::default(),
            None => return Err(Error::Connection(format!("cluster \"{cluster_name}\" does not exist"))),
        };
        let mut user = AuthInfo::default();
        if let Some(name) = self.user.as_ref().or(context.user.as_ref()).filter(|name| !name.is_empty()) {
            let found = kubeconfig.auth_infos.iter().find(|user| &user.name == name);
            match found.and_then(|user| user.auth_info.clone()) {
                Some(found) => user = found,
                None if self.user.is_some() => {
                    return Err(Error::Connection(format!("user \"{name}\" does not exist")));
                }
                None => {}
            }
        }
        self.lay_over_cluster(&mut cluster)?;
        self.lay_over_user(&mut user)?;
        Ok(Some(Kubeconfig {
            contexts: vec![NamedContext {
                name: CHOSEN.to_owned(),
                context: Some(Context { cluster: CHOSEN.to_owned(), user: Some(CHOSEN.to_owned()), ..context }),
                ..NamedContext::default()
            }],
            clusters: vec![NamedCluster { name: CHOSEN.to_owned(), cluster: Some(cluster), ..NamedCluster::default() }],
            auth_infos: vec![NamedAuthInfo {
                name: CHOSEN.to_owned(),
                auth_info: Some(user),
                ..NamedAuthInfo::default()
            }],
            current_context: Some(CHOSEN.to_owned()),
            ..Kubeconfig::default()
        }))
    }

    fn lay_over_cluster(&self, cluster: &mut Cluster) -> Result<(), Error> {
        if let Some(server) = &self.server {
            let full = if server.contains("://") { server.clone() } else { format!("http://{server}") };
            cluster.server = Some(full);
        }
        if let Some(path) = &self.certificate_authority {
            cluster.certificate_authority = Some(path.display().to_string());
            cluster.certificate_authority_data = None;
        }
        if let Some(insecure) = self.insecure_skip_tls_verify {
            if insecure && self.certificate_authority.is_some() {
                return Err(Error::Connection(
                    "--certificate-authority and --insecure-skip-tls-verify exclude each other".to_owned(),
                ));
            }
            cluster.insecure_skip_tls_verify = Some(insecure);
        }
        if self.tls_server_name.is_some() {
            cluster.tls_server_name.clone_from(&self.tls_server_name);
        }
        if self.disable_compression.is_some() {
            cluster.disable_compression = self.disable_compression;
        }
        Ok(())
    }

    fn lay_over_user(&self, user: &mut AuthInfo) -> Result<(), Error> {
        if let Some(token) = &self.token {
            // Whoever gives a token means no other way of logging in.
            let given: AuthInfo = serde_json::from_value(serde_json::json!({ "token": token }))
                .map_err(|error| Error::Connection(format!("could not use --token: {error}")))?;
            user.token = given.token;
            user.token_file = None;
            user.exec = None;
            user.auth_provider = None;
            user.username = None;
            user.password = None;
        }
        if let Some(path) = &self.client_certificate {
            user.client_certificate = Some(path.display().to_string());
            user.client_certificate_data = None;
        }
        if let Some(path) = &self.client_key {
            user.client_key = Some(path.display().to_string());
            user.client_key_data = None;
        }
        if self.act_as.is_some() {
            user.impersonate.clone_from(&self.act_as);
        }
        if !self.act_as_group.is_empty() {
            user.impersonate_groups = Some(self.act_as_group.clone());
        }
        if self.act_as_uid.is_some() {
            user.impersonate_uid.clone_from(&self.act_as_uid);
        }
        Ok(())
    }
}
