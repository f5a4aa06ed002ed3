//! Requests as bytes: whatever a client sends is answered or refused by the contract, on every call.
//!
//! ```text
//! input:  0  which call
//!         1  how the bytes are made of valid requests of that call: see `bend`
//! ```

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{Arc, LazyLock, OnceLock},
};

use milepost::{
    clock::ManualClock,
    engine::Engine,
    proto::{
        FILE_DESCRIPTOR_SET,
        v1::{catalog_service_server::CatalogServiceServer, query_service_server::QueryServiceServer},
    },
    service::{
        catalog::Catalog,
        definition_lock::DefinitionLock,
        ingest::{Ingest, IngestServer},
        kept::Kept,
        query::Query,
    },
    store::memory::MemoryStore,
};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};
use tokio::{runtime::Runtime, sync::watch};
use tonic::{Code, Request, Status};

use crate::{
    bend::bent,
    bytes_codec::BytesCodec,
    samples::{NOW, small},
};

/// Requests that are answered, in an order in which they are.
pub const VALID: &str = include_str!("requests.txt");
/// Requests that are refused, each for a reason of its own.
const REFUSED: [&str; 4] = [
    include_str!("../abuse/catalog.txt"),
    include_str!("../abuse/ingest.txt"),
    include_str!("../abuse/query.txt"),
    include_str!("../abuse/state.txt"),
];

/// Calls after which a service begins anew, so that it stays small.
const CALLS_MAX: usize = 400;
/// Messages that are read of a stream.
const MESSAGES_MAX: usize = 1_000;

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("descriptors of the contract"));

pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
    })
}

/// All calls of the contract.
fn methods() -> &'static [MethodDescriptor] {
    static METHODS: LazyLock<Vec<MethodDescriptor>> =
        LazyLock::new(|| POOL.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect());
    &METHODS
}

/// Valid requests of every call, and refused ones, as bytes.
fn samples(method: &MethodDescriptor) -> &'static [Vec<u8>] {
    static SAMPLES: LazyLock<HashMap<String, Vec<Vec<u8>>>> = LazyLock::new(|| {
        let mut samples: HashMap<String, Vec<Vec<u8>>> = HashMap::new();
        for line in std::iter::once(VALID).chain(REFUSED).flat_map(str::lines) {
            let Some((name, request)) = line.split_once(' ').filter(|(name, _)| name.contains("Service/")) else {
                continue;
            };
            let Some(method) = methods().iter().find(|method| path(method).ends_with(name)) else { continue };
            // Some of the refused are no JSON of the contract.
            if let Some(message) = from_json(method.input(), request) {
                samples.entry(path(method)).or_default().push(message.encode_to_vec());
            }
        }
        samples
    });
    SAMPLES.get(&path(method)).map(Vec::as_slice).unwrap_or_else(|| panic!("no sample of {}", path(method)))
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

fn from_json(message: MessageDescriptor, text: &str) -> Option<DynamicMessage> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    DynamicMessage::deserialize(message, &mut deserializer).ok()
}

/// The services, called with bytes and without sockets.
pub struct Service {
    catalog: CatalogServiceServer<Catalog>,
    ingest: IngestServer,
    query: Kept<QueryServiceServer<Query>>,
    /// Streams go on while it is there.
    _stopping: watch::Sender<bool>,
}

impl Service {
    pub fn over(engine: Engine) -> Service {
        let definitions = DefinitionLock::default();
        let (keep, stopping) = watch::channel(false);
        Service {
            catalog: CatalogServiceServer::new(Catalog::new(engine.clone(), definitions.clone())),
            ingest: IngestServer::new(Ingest::new(engine.clone(), definitions, stopping)),
            query: Kept::new(QueryServiceServer::new(Query::new(engine.clone())), engine),
            _stopping: keep,
        }
    }

    /// One that was written to.
    fn fresh() -> Service {
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(ManualClock::at(NOW));
        let engine = runtime().block_on(async { Engine::open(store, clock, small()) }).expect("it opens");
        let service = Service::over(engine.clone());
        for (name, request) in VALID.lines().filter_map(|line| line.split_once(' ')) {
            runtime()
                .block_on(service.call_json(name, request))
                .unwrap_or_else(|status| panic!("{name} {request}: {status}"));
        }
        runtime().block_on(engine.fold()).expect("it folds");
        service
    }

    /// Calls `Service/Method` with protobuf JSON.
    pub async fn call_json(&self, name: &str, request: &str) -> Result<(), Status> {
        let method = methods().iter().find(|method| path(method).ends_with(name)).expect("a method of the contract");
        let message = from_json(method.input(), request).unwrap_or_else(|| panic!("no request of {name}: {request}"));
        self.call(method, message.encode_to_vec()).await
    }

    async fn call(&self, method: &MethodDescriptor, bytes: Vec<u8>) -> Result<(), Status> {
        match method.parent_service().name() {
            "CatalogService" => call(self.catalog.clone(), method, bytes).await,
            "IngestService" => call(self.ingest.clone(), method, bytes).await,
            _ => call(self.query.clone(), method, bytes).await,
        }
    }
}

/// Calls, and reads every answer as a message of the contract.
async fn call<S>(service: S, method: &MethodDescriptor, bytes: Vec<u8>) -> Result<(), Status>
where
    S: tonic::client::GrpcService<tonic::body::Body>,
    S::ResponseBody: tonic::transport::Body<Data = bytes::Bytes> + Send + 'static,
    <S::ResponseBody as tonic::transport::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let mut client = tonic::client::Grpc::new(service);
    client.ready().await.map_err(|_| Status::unavailable("it is always ready"))?;
    let path = path(method).parse().expect("a path");
    let request = Request::new(tokio_stream::once(bytes));
    let mut messages = client.streaming(request, path, BytesCodec).await?.into_inner();
    let mut count = 0;
    while let Some(message) = messages.message().await? {
        DynamicMessage::decode(method.output(), &*message).expect("an answer is a message of the contract");
        count += 1;
        if count == MESSAGES_MAX {
            break;
        }
    }
    Ok(())
}

thread_local! {
    static SERVICE: RefCell<Option<(Service, usize)>> = const { RefCell::new(None) };
}

/// A message is answered or refused with a code of the contract; decoded, encoded and decoded it is the same.
pub fn check(input: &[u8]) -> bool {
    let Some((&which, rest)) = input.split_first() else { return false };
    let method = &methods()[usize::from(which) % methods().len()];
    let (bytes, _) = bent(rest, samples(method));
    let Ok(message) = DynamicMessage::decode(method.input(), &*bytes) else { return false };
    // Written once it says no defaults any more; from then on it stays what it is.
    let again = |message: &DynamicMessage| {
        DynamicMessage::decode(method.input(), &*message.encode_to_vec()).expect("what was encoded decodes")
    };
    let once = again(&message);
    assert_eq!(again(&once), once, "a message comes back the same");
    SERVICE.with_borrow_mut(|service| {
        if service.as_ref().is_none_or(|(_, calls)| *calls >= CALLS_MAX) {
            *service = Some((Service::fresh(), 0));
        }
        let (service, calls) = service.as_mut().expect("it was just made");
        *calls += 1;
        let answer = runtime().block_on(service.call(method, bytes));
        // The server's outermost layer says INVALID_ARGUMENT of it (tests/abuse).
        if answer.as_ref().is_err_and(|status| status.message().starts_with("failed to decode Protobuf message")) {
            return false;
        }
        match answer.as_ref().map_err(Status::code) {
            Ok(()) => true,
            Err(
                Code::InvalidArgument
                | Code::FailedPrecondition
                | Code::NotFound
                | Code::AlreadyExists
                | Code::ResourceExhausted,
            ) => true,
            Err(_) => {
                let request = serde_json::to_string(&message).unwrap_or_default();
                panic!("{} is answered with {answer:?}: {request}", path(method))
            }
        }
    })
}

/// The first valid request of every call as an input.
pub fn inputs() -> Vec<Vec<u8>> {
    let one = |(i, method): (usize, &MethodDescriptor)| [&[i as u8, 0][..], &samples(method)[0]].concat();
    methods().iter().enumerate().map(one).collect()
}
