//! A definition as bytes: in the log, and in fold files.

use super::codec::{Reader, Undecodable, Writer};
use crate::domain::calendar::{MonthDay, Period, Weekday, Zone};
use crate::domain::definition::{Definition, Kind};
use crate::domain::name::MetricName;

const WEEKDAYS: [Weekday; 7] = [
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
    Weekday::Thursday,
    Weekday::Friday,
    Weekday::Saturday,
    Weekday::Sunday,
];
const KINDS: [Kind; 3] = [Kind::Delta, Kind::Cumulative, Kind::Gauge];

/// Texts as they are in the contract, enumerations by their place.
pub fn write_definition(out: &mut Writer, d: &Definition) {
    [d.name.as_str(), &d.display_name, &d.description, &d.unit].iter().for_each(|text| out.text(text));
    out.byte(KINDS.iter().position(|k| *k == d.kind).expect("every kind is listed") as u8);
    out.byte(d.scale);
    out.unsigned(d.label_names.len() as u64);
    d.label_names.iter().for_each(|name| out.text(name));
    out.text(&d.period.map_or(String::new(), Period::text));
    out.text(d.zone.name());
    out.byte(WEEKDAYS.iter().position(|w| *w == d.week_start).expect("every day is listed") as u8);
    out.byte(d.year_start.month);
    out.byte(d.year_start.day);
    out.byte(u8::from(d.overdue_after_nanos.is_some()));
    out.signed(d.overdue_after_nanos.unwrap_or(0));
    out.time(d.create_time);
    out.time(d.update_time);
}

/// As `write_definition`.
pub fn read_definition(reader: &mut Reader) -> Result<Definition, Undecodable> {
    let name = MetricName::parse(reader.text()?).ok_or(Undecodable::Form("not a metric's name"))?;
    let mut text = || Ok::<String, Undecodable>(reader.text()?.into());
    let (display_name, description, unit) = (text()?, text()?, text()?);
    let kind = *KINDS.get(usize::from(reader.byte()?)).ok_or(Undecodable::Form("an unknown kind"))?;
    let scale = reader.byte()?;
    let count = reader.count()?;
    let label_names = (0..count).map(|_| Ok(reader.text()?.into())).collect::<Result<_, Undecodable>>()?;
    let period = match reader.text()? {
        "" => None,
        text => Some(Period::parse(text).ok_or(Undecodable::Form("an unknown period"))?),
    };
    let zone = Zone::parse(reader.text()?).ok_or(Undecodable::Form("an unknown time zone"))?;
    let week_start = *WEEKDAYS.get(usize::from(reader.byte()?)).ok_or(Undecodable::Form("an unknown day"))?;
    let year_start = MonthDay { month: reader.byte()?, day: reader.byte()? };
    let has_overdue = reader.byte()? != 0;
    let overdue = reader.signed()?;
    Ok(Definition {
        name,
        display_name,
        description,
        unit,
        kind,
        scale,
        label_names,
        period,
        zone,
        week_start,
        year_start,
        overdue_after_nanos: has_overdue.then_some(overdue),
        create_time: reader.time()?,
        update_time: reader.time()?,
    })
}
