//! Replies that are kept, held to what is reckoned anew: while points and definitions change and the clock goes on, and
//! back.

use milepost::proto::v1::{query_service_client::QueryServiceClient, query_service_server::QueryServiceServer};
use milepost::service::kept::Kept;
use proptest::prelude::*;
use prost::Message;
use std::sync::atomic::{AtomicU64, Ordering};
use tonic::{Code, body::Body, client::GrpcService, codegen::StdError};

use crate::{
    ask::Ask,
    asked::Asked,
    generate::{Chance, World},
    oracle::Oracle,
    server::{Server, runtime},
};

const SECOND: i64 = 1_000_000_000;

/// The bytes of a reply, or what it was refused with. None: no reply of that kind is kept.
async fn reply<S>(client: &mut QueryServiceClient<S>, ask: &Ask) -> Option<Result<Vec<u8>, (Code, String)>>
where
    S: GrpcService<Body>,
    S::Error: Into<StdError>,
    S::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<StdError> + Send,
{
    let bytes = match ask {
        Ask::Total(request) => client.get_total(request.clone()).await.map(|r| r.into_inner().encode_to_vec()),
        Ask::Range(request) => client.query_range(request.clone()).await.map(|r| r.into_inner().encode_to_vec()),
        Ask::Cumulative(request) => {
            client.query_cumulative(request.clone()).await.map(|r| r.into_inner().encode_to_vec())
        }
        Ask::Milestones(request) => {
            client.list_milestones(request.clone()).await.map(|r| r.into_inner().encode_to_vec())
        }
        _ => return None,
    };
    Some(bytes.map_err(|status| (status.code(), status.message().to_owned())))
}

/// Asks the same questions again and again while a history goes on; how many were answered by what was kept.
fn asked_again(seed: u64) -> u64 {
    let (mut server, mut oracle) = (Server::fresh(seed), Oracle::new());
    let (mut world, mut chance) = (World::new(seed), Chance::new(seed ^ 0x5EED));
    let change = |world: &mut World, chance: &mut Chance, oracle: &mut Oracle, server: &mut Server| {
        let ask = world.change(chance, oracle, true);
        let _ = oracle.ask(&ask, world.now);
        let _ = server.ask(&ask, None, world.now);
    };
    for _ in 0..20 {
        change(&mut world, &mut chance, &mut oracle, &mut server);
    }
    let questions: Vec<Ask> = (0..8).map(|_| world.ask(&mut chance, &oracle)).collect();
    let service = QueryServiceServer::new(server.served().query.clone());
    let kept = Kept::new(service.clone(), server.engine().clone());
    let sent_again = kept.clone();
    let (mut plain, mut kept) = (QueryServiceClient::new(service), QueryServiceClient::new(kept));
    let mut now = world.now;
    for _ in 0..60 {
        match chance.within(0, 10) {
            0 => change(&mut world, &mut chance, &mut oracle, &mut server),
            1 => server.fold(),
            2..5 => now += chance.pick(&[1, SECOND, 3_600 * SECOND, 86_400 * SECOND, 40 * 86_400 * SECOND]),
            5 => now = world.now,
            _ => {}
        }
        server.set_clock(now);
        for question in &questions {
            let both =
                runtime().block_on(async { (reply(&mut kept, question).await, reply(&mut plain, question).await) });
            assert_eq!(both.0, both.1, "{question:?}");
        }
    }
    sent_again.sent_again()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn what_is_kept_is_what_would_be_reckoned(seed: u64) {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        static SENT_AGAIN: AtomicU64 = AtomicU64::new(0);
        let sent_again = SENT_AGAIN.fetch_add(asked_again(seed), Ordering::Relaxed);
        let runs = RUNS.fetch_add(1, Ordering::Relaxed);
        prop_assert!(runs < 8 || sent_again > 20 * runs, "{sent_again} replies in {runs} runs");
    }
}
