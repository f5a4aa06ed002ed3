//! Which server, and who asks.

use super::error::Error;
use crate::proto::v1::catalog_service_client::CatalogServiceClient;
use crate::proto::v1::ingest_service_client::IngestServiceClient;
use crate::proto::v1::query_service_client::QueryServiceClient;
use crate::proto::v1::{GetMetricRequest, Metric};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

/// Bytes of a message that the client takes: twice what the contract allows a response.
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Which server, and who asks.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Server")]
pub struct ConnectionArgs {
    /// The server: HOST:PORT, or http://HOST:PORT
    #[arg(long, env = "MILEPOST_SERVER", value_name = "HOST:PORT", default_value = "127.0.0.1:6453")]
    server: String,
    /// A file that holds the token to send; without it the environment's MILEPOST_TOKEN is sent
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Puts the token, where there is one, on every call.
#[derive(Clone, Debug)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

type Transport = InterceptedService<Channel, Bearer>;

/// A server that has answered.
#[derive(Clone, Debug)]
pub(super) struct Server(Transport);

impl ConnectionArgs {
    pub(super) async fn connect(&self) -> Result<Server, Error> {
        Server::connect(&self.server, self.token()?).await
    }

    fn token(&self) -> Result<Option<String>, Error> {
        match &self.token_file {
            Some(path) => std::fs::read_to_string(path)
                .map(Some)
                .map_err(|source| Error::Io { what: format!("cannot read the token in {}", path.display()), source }),
            None => Ok(std::env::var("MILEPOST_TOKEN").ok().filter(|t| !t.trim().is_empty())),
        }
    }
}

impl Server {
    /// Connects to `HOST:PORT` or `http://HOST:PORT`.
    pub(super) async fn connect(server: &str, token: Option<String>) -> Result<Server, Error> {
        let bearer = token
            .map(|t| {
                format!("Bearer {}", t.trim())
                    .parse()
                    .map_err(|_| Error::Usage("the token has characters that a header cannot hold".into()))
            })
            .transpose()?;
        let url = match server.split_once("://") {
            Some(("http", _)) => server.to_owned(),
            Some((scheme, _)) => {
                return Err(Error::Usage(format!(
                    "--server {server}: {scheme}:// is not spoken, say http://HOST:PORT"
                )));
            }
            None => format!("http://{server}"),
        };
        let endpoint = Endpoint::from_shared(url)
            .map_err(|e| Error::Usage(format!("--server {server}: not HOST:PORT ({e})")))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_adaptive_window(true);
        let channel = endpoint.connect().await.map_err(|e| Error::Unreachable {
            server: server.into(),
            reason: format!("{}; start one with `milepost serve`, or name another with --server", innermost(&e)),
        })?;
        Ok(Server(InterceptedService::new(channel, Bearer(bearer))))
    }

    pub(super) fn catalog(&self) -> CatalogServiceClient<Transport> {
        CatalogServiceClient::new(self.0.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(super) fn ingest(&self) -> IngestServiceClient<Transport> {
        IngestServiceClient::new(self.0.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(super) fn query(&self) -> QueryServiceClient<Transport> {
        QueryServiceClient::new(self.0.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The metric as it is now.
    pub(super) async fn metric(&self, name: &str) -> Result<Metric, Error> {
        let answer = self.catalog().get_metric(GetMetricRequest { name: name.into() }).await?.into_inner();
        answer.metric.ok_or_else(|| Error::Failed("the server answered GetMetric without a metric".into()))
    }
}

/// The cause at the bottom, in its own words: `Connection refused (os error 111)`, not "transport error".
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
