//! A connection to one cluster: every request goes through here, so that each has a time limit and a clear error.

use std::future::Future;
use std::time::Duration;

use crds::jiff::Timestamp;
use crds::kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use crds::kube::core::ApiResource;
use crds::kube::{self, Api, Client};
use crds::{Rollout, kube::ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::errors::{About, Error};
use crate::names;

/// Page size of lists.
const PAGE: u32 = 500;

/// A client with the namespace, the time limit and the clock which commands use.
#[derive(Clone)]
pub struct Session {
    /// The client.
    pub client: Client,
    /// Where objects are looked for.
    pub namespace: String,
    /// Address of the server, for messages.
    pub server: String,
    /// Limit of every request but watches; `None` for no limit.
    pub request_timeout: Option<Duration>,
    /// What time it is.
    pub clock: fn() -> Timestamp,
}

impl Session {
    /// A session on the system's clock.
    pub fn new(client: Client, namespace: impl Into<String>, server: impl Into<String>) -> Self {
        Self {
            client,
            namespace: namespace.into(),
            server: server.into(),
            request_timeout: Some(Duration::from_secs(30)),
            clock: Timestamp::now,
        }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Access to one kind in the session's namespace.
    pub fn api(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, resource)
    }

    /// Waits for the answer to a request, but not forever.
    pub async fn answer<T>(
        &self,
        about: About<'_>,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Error> {
        self.raw_answer(request).await?.map_err(|error| Error::of_request(&error, about))
    }

    /// As [`answer`](Self::answer), for callers who tell apart why a request failed.
    pub async fn raw_answer<T>(
        &self,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<Result<T, kube::Error>, Error> {
        match self.request_timeout {
            None => Ok(request.await),
            Some(limit) => tokio::time::timeout(limit, request)
                .await
                .map_err(|_| Error::TimedOut { server: self.server.clone(), seconds: limit.as_secs() }),
        }
    }

    /// The object a request is about.
    pub fn about<'a>(&'a self, resource: &'a str, name: &'a str) -> About<'a> {
        About { resource, name, namespace: &self.namespace, server: &self.server }
    }

    /// One object, as it is.
    pub async fn get(&self, resource: &ApiResource, name: &str) -> Result<DynamicObject, Error> {
        let qualified = names::qualified(resource);
        self.answer(self.about(&qualified, name), self.api(resource).get(name)).await
    }

    /// One Rollout.
    pub async fn rollout(&self, name: &str) -> Result<Rollout, Error> {
        read(&names::rollouts(), self.get(&names::rollouts(), name).await?)
    }

    /// All objects of a kind which the label selector matches.
    pub async fn list(&self, resource: &ApiResource, labels: &str) -> Result<Vec<DynamicObject>, Error> {
        let qualified = names::qualified(resource);
        self.list_from(&self.api(resource), &qualified, labels).await
    }

    /// All objects which this access reaches, page by page.
    pub async fn list_from(
        &self,
        api: &Api<DynamicObject>,
        qualified: &str,
        labels: &str,
    ) -> Result<Vec<DynamicObject>, Error> {
        let mut objects = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        if !labels.is_empty() {
            params = params.labels(labels);
        }
        loop {
            let page = self.answer(self.about(qualified, ""), api.list(&params)).await?;
            objects.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(objects),
            }
        }
    }

    /// Merges into the main resource.
    pub async fn merge(&self, resource: &ApiResource, name: &str, patch: &Value) -> Result<DynamicObject, Error> {
        let qualified = names::qualified(resource);
        let api = self.api(resource);
        let params = PatchParams::default();
        let patch = Patch::Merge(patch);
        self.answer(self.about(&qualified, name), api.patch(name, &params, &patch)).await
    }

    /// Merges into the status of a Rollout. Where its CRD has no status sub-resource the main resource takes `whole`
    /// in its place; then the answer is `true`.
    pub async fn merge_status(&self, name: &str, status: &Value, whole: &Value) -> Result<bool, Error> {
        let resource = names::rollouts();
        let qualified = names::qualified(&resource);
        let api = self.api(&resource);
        let params = PatchParams::default();
        let patch = Patch::Merge(status);
        match self.raw_answer(api.patch_status(name, &params, &patch)).await? {
            Ok(_) => Ok(false),
            Err(kube::Error::Api(answer)) if answer.code == 404 => {
                self.merge(&resource, name, whole).await?;
                Ok(true)
            }
            Err(error) => Err(Error::of_request(&error, self.about(&qualified, name))),
        }
    }
}

/// The typed view of an object.
pub fn read<T: DeserializeOwned>(resource: &ApiResource, object: DynamicObject) -> Result<T, Error> {
    let name = object.name_any();
    serde_json::to_value(object).and_then(serde_json::from_value).map_err(|cause| Error::Unreadable {
        resource: names::qualified(resource),
        name,
        cause: cause.to_string(),
    })
}
