//! `grpc.health.v1`: every service by its name, and the server as a whole under the empty one.

use crate::engine::Engine;
use crate::proto::v1::catalog_service_server::CatalogServiceServer;
use crate::proto::v1::ingest_service_server::IngestServiceServer;
use crate::proto::v1::query_service_server::QueryServiceServer;
use crate::service::catalog::Catalog;
use crate::service::ingest::Ingest;
use std::time::Duration;
use tokio::sync::watch;
use tonic::server::NamedService;
use tonic_health::ServingStatus::{self, NotServing, Serving};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// How often the disk's state is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const INGEST: &str = <IngestServiceServer<Ingest> as NamedService>::NAME;
const NAMES: [&str; 4] =
    ["", <CatalogServiceServer<Catalog> as NamedService>::NAME, INGEST, <QueryServiceServer<()> as NamedService>::NAME];

/// What the server says of its health.
#[derive(Clone, Debug)]
pub struct Health(HealthReporter);

impl Health {
    /// Says nothing yet.
    pub fn new() -> Health {
        Health(HealthReporter::new())
    }

    /// The service that says it.
    pub fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.0.clone()))
    }

    async fn say(&self, status: ServingStatus) {
        for name in NAMES {
            self.0.set_service_status(name, status).await;
        }
    }

    /// Serving, until the server stops; writes not once the disk has failed.
    pub async fn watch(self, engine: Engine, mut stopping: watch::Receiver<bool>) {
        self.say(Serving).await;
        loop {
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if let Some(cause) = engine.poisoned() {
                tracing::error!(cause, "the disk failed: nothing is written until a restart");
                self.0.set_service_status(INGEST, NotServing).await;
                return;
            }
        }
    }

    /// Not serving: go elsewhere.
    pub async fn stop(&self) {
        self.say(NotServing).await;
    }
}
