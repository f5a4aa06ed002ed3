//! A server over a store in memory or on disk, on a port of its own, and clients: typed ones, and one that takes
//! and gives protobuf JSON.

#![allow(dead_code)] // each test binary uses its part

use crate::bytes_codec::BytesCodec;
use milepost::clock::ManualClock;
use milepost::config::Limits;
use milepost::disk::RealDisk;
use milepost::domain::time::Time;
use milepost::engine::{Engine, Settings};
use milepost::proto::FILE_DESCRIPTOR_SET;
use milepost::proto::v1::catalog_service_client::CatalogServiceClient;
use milepost::proto::v1::ingest_service_client::IngestServiceClient;
use milepost::proto::v1::query_service_client::QueryServiceClient;
use milepost::random::SystemRandom;
use milepost::server::{ServeError, serve};
use milepost::store::Store;
use milepost::store::embedded::{EmbeddedStore, StoreSettings};
use milepost::store::memory::MemoryStore;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

/// 2026-09-01T00:00:00Z, where every test's clock stands at first.
pub const NOW: Time = Time(1_788_220_800_000_000_000);

/// Every message and service of the contract.
pub static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the descriptors describe themselves"));

/// A server that runs, and a channel to it.
pub struct Server {
    pub engine: Engine,
    pub clock: Arc<ManualClock>,
    pub address: SocketAddr,
    pub channel: Channel,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl Server {
    /// Over a fresh store in memory.
    pub async fn start() -> Server {
        Server::over(Arc::new(MemoryStore::new()), Settings::default(), Limits::default()).await
    }

    /// Over the store in a directory.
    pub async fn in_dir(dir: &Path) -> Server {
        Server::over(open_dir(dir), Settings::default(), Limits::default()).await
    }

    /// Over any store.
    pub async fn over(store: Arc<dyn Store>, settings: Settings, limits: Limits) -> Server {
        let clock = Arc::new(ManualClock::at(NOW));
        let engine = Engine::open(store, clock.clone(), settings).expect("the store opens");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(serve(listener, engine.clone(), limits, async move {
            let _ = stopped.await;
        }));
        let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address").connect_lazy();
        Server { engine, clock, address, channel, stop: Some(stop), serving }
    }

    pub fn catalog(&self) -> CatalogServiceClient<Channel> {
        CatalogServiceClient::new(self.channel.clone())
    }

    pub fn ingest(&self) -> IngestServiceClient<Channel> {
        IngestServiceClient::new(self.channel.clone())
    }

    pub fn query(&self) -> QueryServiceClient<Channel> {
        QueryServiceClient::new(self.channel.clone())
    }

    /// Tells the server to stop, without waiting.
    pub fn begin_stop(&mut self) {
        let _ = self.stop.take().expect("told once").send(());
    }

    /// Stops it cleanly.
    pub async fn stop(mut self) {
        if self.stop.is_some() {
            self.begin_stop();
        }
        drop(self.channel);
        self.serving.await.expect("serving does not panic").expect("a clean stop");
    }

    /// Calls `Service/Method` with protobuf JSON; the answer, as protobuf JSON.
    pub async fn call(&self, method: &str, request: &str) -> Result<Value, Status> {
        let descriptor = method_of(method);
        let sent = from_json(descriptor.input(), request);
        let answer = self.call_bytes(method, sent.encode_to_vec()).await?;
        // The second time it is kept, the third time sent again: the clock stands still, so nothing differs.
        if method.starts_with("QueryService/") && !descriptor.is_server_streaming() {
            for _ in 0..2 {
                assert_eq!(self.call_bytes(method, sent.encode_to_vec()).await?, answer, "{method} {request}");
            }
        }
        let answer = DynamicMessage::decode(descriptor.output(), &*answer).expect("an answer of the contract");
        Ok(serde_json::to_value(&answer).expect("protobuf JSON"))
    }

    /// Calls with bytes, which may be no message.
    pub async fn call_bytes(&self, method: &str, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = format!("/milepost.v1.{method}").parse().expect("a path");
        if method_of(method).is_server_streaming() {
            let mut messages = client.server_streaming(Request::new(request), path, BytesCodec).await?.into_inner();
            let mut last = Vec::new();
            while let Some(message) = messages.message().await? {
                last = message;
            }
            return Ok(last);
        }
        Ok(client.unary(Request::new(request), path, BytesCodec).await?.into_inner())
    }

    /// A call that must succeed.
    pub async fn ok(&self, method: &str, request: &str) -> Value {
        self.call(method, request).await.unwrap_or_else(|status| panic!("{method} {request}: {}", told(&status)))
    }

    /// A call that must be refused: "CODE REASON message".
    pub async fn refused(&self, method: &str, request: &str) -> String {
        match self.call(method, request).await {
            Ok(answer) => panic!("{method} {request} was answered: {answer}"),
            Err(status) => told(&status),
        }
    }
}

/// The store in a directory.
pub fn open_dir(dir: &Path) -> Arc<dyn Store> {
    let settings = StoreSettings { reserve_bytes: 1 << 20, ..StoreSettings::default() };
    let store = EmbeddedStore::open(dir, Arc::new(RealDisk), Arc::new(SystemRandom), settings);
    Arc::new(store.expect("the store opens"))
}

fn method_of(method: &str) -> MethodDescriptor {
    let (service, name) = method.split_once('/').expect("Service/Method");
    let service = POOL.get_service_by_name(&format!("milepost.v1.{service}")).expect("a service of the contract");
    service.methods().find(|method| method.name() == name).expect("a method of the service")
}

/// A message from protobuf JSON.
pub fn from_json(message: MessageDescriptor, text: &str) -> DynamicMessage {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    DynamicMessage::deserialize(message, &mut deserializer).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// "CODE REASON message"; REASON is "-" where there is not exactly one ErrorInfo of ours.
pub fn told(status: &Status) -> String {
    let details = status.get_error_details_vec();
    let infos: Vec<_> = details
        .iter()
        .filter_map(|detail| match detail {
            tonic_types::ErrorDetail::ErrorInfo(info) if info.domain == "milepost" => Some(info.reason.as_str()),
            _ => None,
        })
        .collect();
    let reason = if let [reason] = *infos { reason } else { "-" };
    format!("{} {reason} {}", code_word(status.code()), status.message())
}

/// A code as the contract writes it.
pub fn code_word(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
