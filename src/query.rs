//! Questions answered: plan (validated and resolved), total, range, cumulative, milestone, points, changes.
//!
//! A question is an `ask`; a plan checks it as a whole and binds it to one revision; running the plan reads the
//! engine and answers figures in units of 10^-scale. Runs read files: they belong on a thread that may block.

pub mod answer;
pub mod ask;
pub mod changes;
mod coverage;
mod cumulative;
mod estimate;
pub mod fault;
mod group;
mod ledger;
pub mod milestone;
mod now;
pub mod page;
pub mod plan;
pub mod points;
pub mod range;
mod sheet;
pub mod total;
mod window;

pub use fault::{Fault, QueryError, Reason};
pub use now::Validity;
pub use plan::{ChangesPlan, MilestonesPlan, PointsPlan, RangePlan, Scene, TotalPlan};

use page::{Pin, Position};

macro_rules! pinned {
    ($($plan:ty),*) => {$(
        impl $plan {
            /// What a page token for the next page pins.
            pub fn pin(&self, position: Position) -> Pin {
                self.scene.pin(position)
            }
        }
    )*};
}
pinned!(TotalPlan, RangePlan, MilestonesPlan, ChangesPlan);
