//! `CatalogService`: what is counted.

mod page;

use super::convert::{self, metric, refused, refused::Part, time};
use super::definition_lock::DefinitionLock;
use super::fault::{Fault, Faults};
use crate::domain::definition::Definition;
use crate::domain::name::{ComponentName, MetricName};
use crate::domain::time::Interval;
use crate::engine::batch::{Ack, Batch, Change};
use crate::engine::view::{MetricView, SeriesView, View};
use crate::engine::{AsOf, Engine};
use crate::proto::v1::{catalog_service_server::CatalogService, *};
use crate::store::StoreError;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Serves the catalogue of an engine.
#[derive(Clone)]
pub struct Catalog {
    engine: Engine,
    definitions: DefinitionLock,
}

/// The calls have one metric, so every fault of one is of one field.
struct Named(&'static str);

impl refused::Asked for Named {
    fn field(&self, _at: (u32, u32), part: Part) -> String {
        match part {
            Part::Metric => self.0.to_owned(),
            _ => String::new(),
        }
    }

    fn definition(&self, _at: (u32, u32)) -> Option<Arc<Definition>> {
        None
    }
}

impl Catalog {
    /// Serves `engine`; `definitions` is shared with whoever writes to it.
    pub fn new(engine: Engine, definitions: DefinitionLock) -> Catalog {
        Catalog { engine, definitions }
    }

    async fn change(&self, metric: &MetricName, change: Change, field: &'static str) -> Result<Ack, Faults> {
        let batch = Batch {
            component: metric.component(),
            who: String::new(),
            request_id: String::new(),
            reason: String::new(),
            validate_only: false,
            change,
        };
        let _changing = self.definitions.change().await;
        self.engine.write(batch).await.map_err(|error| refused::refused(error, &Named(field)))
    }

    async fn view(&self, component: &ComponentName, as_of: AsOf) -> Result<View, Fault> {
        self.engine.view(component, as_of).await.map_err(|error| refused::view(&error, ""))
    }

    async fn metric(&self, name: &str, field: &str, as_of: AsOf) -> Result<(View, MetricView), Fault> {
        let name = convert::metric_name(name, field)?;
        let view = self.view(&name.component(), as_of).await?;
        let metric = view
            .metric(&name)
            .map_err(|error| refused::store(&error))?
            .ok_or_else(|| convert::not_found(&name, field))?;
        Ok((view, metric))
    }

    /// The components to list: one, or all from the one that the page starts in.
    fn components_from(&self, component: &str, start: &page::Start) -> Result<Vec<ComponentName>, Fault> {
        if !component.is_empty() {
            return Ok(vec![convert::component_name(component, "component")?]);
        }
        let from = start.after.as_deref().and_then(|after| after.split('/').next()).unwrap_or_default();
        Ok(self.engine.components().into_iter().filter(|name| name.as_str() >= from).collect())
    }
}

/// A metric as its call answers it.
fn answered(ack: &Ack) -> Option<Metric> {
    ack.definition.as_deref().map(metric::message)
}

#[tonic::async_trait]
impl CatalogService for Catalog {
    async fn create_metric(
        &self,
        request: Request<CreateMetricRequest>,
    ) -> Result<Response<CreateMetricResponse>, Status> {
        let Some(said) = request.into_inner().metric else {
            return Err(convert::required("metric", "say at least its name and kind").into());
        };
        let definition = metric::definition(&said)?;
        let name = definition.name.clone();
        let ack = self.change(&name, Change::Create(Box::new(definition)), "metric.name").await?;
        Ok(Response::new(CreateMetricResponse { metric: answered(&ack), revision: ack.revision }))
    }

    async fn get_metric(&self, request: Request<GetMetricRequest>) -> Result<Response<GetMetricResponse>, Status> {
        let (_, metric) = self.metric(&request.into_inner().name, "name", AsOf::Now).await?;
        Ok(Response::new(GetMetricResponse { metric: Some(metric::message(&metric.definition)) }))
    }

    async fn list_metrics(
        &self,
        request: Request<ListMetricsRequest>,
    ) -> Result<Response<ListMetricsResponse>, Status> {
        let request = request.into_inner();
        let start = page::start(request.page_size, &request.page_token, &["metrics", &request.component])?;
        let mut page = start.page();
        'components: for component in self.components_from(&request.component, &start)? {
            let view = self.view(&component, AsOf::Now).await?;
            for metric in view.metrics().map_err(|error| refused::store(&error))? {
                let name = metric.definition.name.as_str();
                if start.is_next(name) && !page.push(name.to_owned(), metric::message(&metric.definition)) {
                    break 'components;
                }
            }
        }
        // a list of several components has no one revision: each page is of now
        let next_page_token = page.next_token(0);
        Ok(Response::new(ListMetricsResponse { metrics: page.rows, next_page_token }))
    }

    async fn update_metric(
        &self,
        request: Request<UpdateMetricRequest>,
    ) -> Result<Response<UpdateMetricResponse>, Status> {
        let request = request.into_inner();
        let Some(said) = request.metric else {
            return Err(convert::required("metric", "say its name, and the fields to change").into());
        };
        let mask = request.update_mask.map(|mask| mask.paths).unwrap_or_default();
        let (name, patch) = metric::patch(&said, &mask)?;
        let change = Change::Update { metric: name.clone(), patch: Box::new(patch) };
        let ack = self.change(&name, change, "metric.name").await?;
        Ok(Response::new(UpdateMetricResponse { metric: answered(&ack), revision: ack.revision }))
    }

    async fn delete_metric(
        &self,
        request: Request<DeleteMetricRequest>,
    ) -> Result<Response<DeleteMetricResponse>, Status> {
        let request = request.into_inner();
        let name = convert::metric_name(&request.name, "name")?;
        let change = Change::Delete { metric: name.clone(), force: request.force };
        let ack = self.change(&name, change, "name").await?;
        Ok(Response::new(DeleteMetricResponse { revision: ack.revision }))
    }

    async fn list_components(
        &self,
        request: Request<ListComponentsRequest>,
    ) -> Result<Response<ListComponentsResponse>, Status> {
        let request = request.into_inner();
        let start = page::start(request.page_size, &request.page_token, &["components"])?;
        let mut page = start.page();
        for name in self.engine.components().into_iter().filter(|name| start.is_next(name.as_str())) {
            let view = self.view(&name, AsOf::Now).await?;
            let row = Component {
                name: name.to_string(),
                metric_count: view.metrics().map_err(|error| refused::store(&error))?.len() as i64,
                revision: view.revision(),
            };
            if !page.push(name.to_string(), row) {
                break;
            }
        }
        let next_page_token = page.next_token(0);
        Ok(Response::new(ListComponentsResponse { components: page.rows, next_page_token }))
    }

    async fn list_series(&self, request: Request<ListSeriesRequest>) -> Result<Response<ListSeriesResponse>, Status> {
        let request = request.into_inner();
        let filters = format!("{:?}", request.filters);
        let start = page::start(request.page_size, &request.page_token, &["series", &request.metric, &filters])?;
        let as_of = start.revision.map_or(AsOf::Now, AsOf::Revision);
        let (view, metric) = self.metric(&request.metric, "metric", as_of).await?;
        let filters = convert::filters(&request.filters, &metric.definition, "filters")?;
        // walks from memory to disk
        let page = tokio::task::spawn_blocking(move || -> Result<_, StoreError> {
            let mut page = start.page();
            for series in metric.series(&filters)? {
                let key = key_of(&series);
                if start.is_next(&key) && !page.push(key, series_row(&series, &metric.definition)?) {
                    break;
                }
            }
            Ok(page)
        });
        let page = page.await.map_err(|_| refused::draining())?.map_err(|error| refused::store(&error))?;
        let next_page_token = page.next_token(view.revision());
        Ok(Response::new(ListSeriesResponse { series: page.rows, next_page_token }))
    }
}

/// Sorts as the label values do, for none of them holds a control character.
fn key_of(series: &SeriesView) -> String {
    series.labels().iter().map(|value| format!("{value}\0")).collect()
}

fn series_row(series: &SeriesView, definition: &Definition) -> Result<Series, StoreError> {
    let all = series.span(Interval::ALL)?;
    Ok(Series {
        labels: convert::labels_map(series.labels(), definition),
        point_count: all.as_ref().map_or(0, |all| all.count as i64),
        first_point_time: all.as_ref().map(|all| time::timestamp(all.first_time)),
        last_point_time: all.as_ref().map(|all| time::timestamp(all.last_time)),
        opening: series.opening()?.map(|opening| convert::opening(opening, series.labels(), definition)),
    })
}
