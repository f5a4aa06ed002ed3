//! What the campaigns write to, and on what settings.

use milepost::proto::v1::catalog_service_client::CatalogServiceClient;
use milepost::proto::v1::{CreateMetricRequest, Metric, metric};
use tonic::transport::Channel;

/// Small, so that a second of writing folds and trims several times.
pub const SMALL: &str = "[engine]\nmemtable_bytes_max = 131072\nunfolded_bytes_max = 131072\ncache_bytes_max = 1048576\n\
                         [store]\nsegment_bytes = 262144\nreserve_bytes = 1048576\n";

pub const COMPONENTS: [&str; 2] = ["pay", "notify"];

pub async fn create_metrics(channel: &Channel) {
    let mut client = CatalogServiceClient::new(channel.clone());
    for component in COMPONENTS {
        for (name, kind, period) in [
            ("slots", metric::Kind::Delta, ""),
            ("levels", metric::Kind::Cumulative, ""),
            ("minutes", metric::Kind::Delta, "PT1M"),
        ] {
            let metric = Metric {
                name: format!("{component}/{name}"),
                kind: kind as i32,
                period: period.to_owned(),
                label_names: vec!["writer".to_owned()],
                ..Metric::default()
            };
            client.create_metric(CreateMetricRequest { metric: Some(metric) }).await.expect("a metric");
        }
    }
}
