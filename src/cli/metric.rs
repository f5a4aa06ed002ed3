//! `milepost metric`: make, show, list, change and delete metrics.

mod create;
mod definition;
mod delete;
mod get;
pub(super) mod list;
mod update;

use super::Call;
use super::error::Error;
use clap::Subcommand;

/// Make, show, list, change or delete metrics.
#[derive(Subcommand, Debug)]
pub enum MetricCommand {
    /// Make a metric
    #[command(after_help = "\
An equal definition again answers the metric that is there.

Examples:
  milepost metric create govuk-pay/payments --kind delta --period P1W --unit '{payment}'
  milepost metric create govuk-notify/messages --kind delta --period P1D --labels channel
  milepost metric create govuk-pay/amount --kind delta --period P1W --unit GBP --scale 2")]
    Create(Call<create::CreateArgs>),
    /// Show a metric's definition
    Get(Call<get::GetArgs>),
    /// List the metrics
    List(Call<list::ListArgs>),
    /// Change a metric's definition; once written to, only its names, description and overdue_after
    Update(Call<update::UpdateArgs>),
    /// Delete a metric with all that was ever kept of it
    Delete(Call<delete::DeleteArgs>),
}

pub(super) async fn run(command: MetricCommand) -> Result<String, Error> {
    match command {
        MetricCommand::Create(call) => create::run(call.args, &call.connection.connect().await?).await,
        MetricCommand::Get(call) => get::run(call.args, &call.connection.connect().await?).await,
        MetricCommand::List(call) => list::run(call.args, &call.connection.connect().await?).await,
        MetricCommand::Update(call) => update::run(call.args, &call.connection.connect().await?).await,
        MetricCommand::Delete(call) => delete::run(call.args, &call.connection.connect().await?).await,
    }
}
