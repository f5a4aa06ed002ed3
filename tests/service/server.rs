//! What stands beside the services: health, reflection, a clean stop.

use crate::harness::{Server, code_word, open_dir};
use crate::ingest::server;
use milepost::config::Limits;
use milepost::engine::Settings;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_reflection::pb::{v1, v1alpha};

pub async fn health(server: &Server, service: &str) -> Option<ServingStatus> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(server.channel.clone()).check(request).await.ok()?;
    Some(answer.into_inner().status())
}

#[tokio::test]
async fn every_service_says_that_it_serves() {
    let server = server().await;
    for service in ["", "milepost.v1.CatalogService", "milepost.v1.IngestService", "milepost.v1.QueryService"] {
        assert_eq!(health(&server, service).await, Some(ServingStatus::Serving), "{service}");
    }
    assert_eq!(health(&server, "milepost.v1.NoService").await, None);
}

#[tokio::test]
async fn reflection_knows_services_comments_and_error_details() {
    use v1::server_reflection_client::ServerReflectionClient;
    use v1::server_reflection_request::MessageRequest;
    use v1::server_reflection_response::MessageResponse;
    let server = server().await;
    let ask = async |question: MessageRequest| {
        let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        let mut client = ServerReflectionClient::new(server.channel.clone());
        let mut answers =
            client.server_reflection_info(tokio_stream::iter([request])).await.expect("reflection").into_inner();
        answers.message().await.expect("an answer").expect("an answer").message_response.expect("something")
    };
    let MessageResponse::ListServicesResponse(list) = ask(MessageRequest::ListServices(String::new())).await else {
        panic!("a list was asked for");
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in
        ["milepost.v1.CatalogService", "milepost.v1.IngestService", "milepost.v1.QueryService", "grpc.health.v1.Health"]
    {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    for symbol in ["google.rpc.ErrorInfo", "google.rpc.BadRequest", "google.rpc.RetryInfo", "milepost.v1.Reason"] {
        let answer = ask(MessageRequest::FileContainingSymbol(symbol.to_owned())).await;
        assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{symbol}: {answer:?}");
    }
    let answer = ask(MessageRequest::FileContainingSymbol("milepost.v1.CatalogService".to_owned())).await;
    let MessageResponse::FileDescriptorResponse(files) = answer else { panic!("a file was asked for") };
    let comment = b"Removes a metric with all that was ever kept of it";
    assert!(files.file_descriptor_proto.iter().any(|file| file.windows(comment.len()).any(|at| at == comment)));
}

#[tokio::test]
async fn older_clients_are_reflected_to_as_well() {
    use v1alpha::server_reflection_client::ServerReflectionClient;
    use v1alpha::server_reflection_request::MessageRequest;
    let server = server().await;
    let question = Some(MessageRequest::ListServices(String::new()));
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request: question };
    let mut client = ServerReflectionClient::new(server.channel.clone());
    let mut answers =
        client.server_reflection_info(tokio_stream::iter([request])).await.expect("reflection").into_inner();
    assert!(answers.message().await.expect("an answer").is_some());
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented() {
    let server = server().await;
    let mut client = tonic::client::Grpc::new(server.channel.clone());
    client.ready().await.expect("a server");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path = "/milepost.v1.CatalogService/Nix".parse().expect("a path");
    let status = client.unary(tonic::Request::new(()), path, codec).await.expect_err("refused");
    assert_eq!(code_word(status.code()), "UNIMPLEMENTED");
}

#[tokio::test]
async fn a_stop_finishes_what_was_begun_and_lets_go_of_the_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = Server::in_dir(dir.path()).await;
    server.ok("CatalogService/CreateMetric", r#"{"metric":{"name":"a/b","kind":"GAUGE"}}"#).await;
    let calls: Vec<_> = (0..50)
        .map(|day| {
            let write = format!(
                r#"{{"series":[{{"metric":"a/b","points":[{{"date":"2026-01-{:02}","value":"{day}"}}]}}]}}"#,
                day % 28 + 1
            );
            (server.ingest(), write)
        })
        .map(|(mut client, write)| {
            let request = crate::harness::from_json(
                crate::harness::POOL.get_message_by_name("milepost.v1.WritePointsRequest").expect("a message"),
                &write,
            );
            let request = request.transcode_to::<milepost::proto::v1::WritePointsRequest>().expect("the same message");
            tokio::spawn(async move { client.write_points(request).await })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    server.begin_stop();
    let mut acknowledged = 0;
    for call in calls {
        match call.await.expect("no panic") {
            Ok(answer) => acknowledged = acknowledged.max(answer.into_inner().revision),
            Err(status) => assert_eq!(code_word(status.code()), "UNAVAILABLE", "{status}"),
        }
    }
    server.stop().await;
    let server = Server::over(open_dir(dir.path()), Settings::default(), Limits::default()).await;
    let components = server.ok("CatalogService/ListComponents", "{}").await;
    let kept: i64 = components["components"][0]["revision"].as_str().expect("a revision").parse().expect("a number");
    assert!(kept >= acknowledged, "{kept} < {acknowledged}");
    server.stop().await;
}
