//! `judge: kayenta`: the failure rates of all minutes so far, every five minutes, by Kayenta's judge.

use std::collections::BTreeMap;

use super::queries::Ratio;
use super::{Asked, Comparison, Look, aligned};
use crate::Phase;
use crate::comparison::Counts;
use crate::comparison::kayenta::{Class, Direction, Settings, judge};
use crate::provider::Outcome;
use crate::provider::prometheus::Points;
use crate::words;

/// Seconds of a point.
const POINT: i64 = 60;
/// Points after which it is judged again.
const EVERY: i64 = 5;
/// Seconds until the points of a minute are there.
const LATE: i64 = 15;

impl Comparison {
    /// Everything is asked for anew each time, so there is nothing to note.
    pub(super) async fn by_kayenta(&self, look: &Look<'_>, queries: &Ratio) -> Asked<Outcome> {
        let since = aligned(look.request.started_at.as_second(), POINT);
        let minutes = (look.now.as_second() - LATE - since).div_euclid(POINT).max(0);
        let judged = minutes / EVERY * EVERY;
        let over = look.settings.maximum.is_some_and(|maximum| minutes * POINT >= maximum);
        if judged == 0 {
            let phase = if over { Phase::Inconclusive } else { Phase::Running };
            let message = format!("{minutes} of {EVERY} minutes so far");
            return Ok(Outcome::Judged { phase, message, stored: String::new(), metadata: BTreeMap::new() });
        }
        let [failed, total, stable_failed, stable_total] =
            self.counts(look, queries, (since + POINT, since + judged * POINT, POINT)).await?;
        if total.is_empty() || stable_total.is_empty() {
            let [_, canary, _, stable] = queries.counts(POINT);
            let query = if total.is_empty() { canary } else { stable };
            return Err(Outcome::error(format!("no data: nothing in Prometheus matches {query}")));
        }
        // A minute without traffic is no point.
        let rates = |failed: &Points, total: &Points| -> Vec<f64> {
            let counts =
                total.iter().map(|(at, total)| Counts::new(failed.get(at).copied().unwrap_or(0.0), *total).clean().0);
            counts.filter(|counts| counts.total > 0.0).map(Counts::share).collect()
        };
        let (canary, stable) = (rates(&failed, &total), rates(&stable_failed, &stable_total));
        let settings = Settings { direction: Direction::Increase, ..Settings::default() };
        let verdict = judge(&canary, &stable, &settings);
        let mut metadata = BTreeMap::from([
            ("class".to_owned(), format!("{:?}", verdict.class)),
            ("effect".to_owned(), format!("{:.4}", verdict.effect)),
            ("points".to_owned(), format!("{} and {}", canary.len(), stable.len())),
        ]);
        if let Some(shift) = verdict.shift {
            metadata.insert("interval".to_owned(), format!("{:.6} to {:.6}", shift.lower, shift.upper));
        }
        let requests: f64 = total.values().sum();
        let (phase, said) = match verdict.class {
            Class::High | Class::Low => (Phase::Failed, "the canary's failure rates are higher"),
            Class::Pass if requests >= look.settings.minimum => (Phase::Successful, "the failure rates do not differ"),
            Class::Pass | Class::NoData | Class::Error if over => (Phase::Inconclusive, "too little was seen"),
            Class::Pass | Class::NoData | Class::Error => (Phase::Running, "too little was seen so far"),
        };
        if over && phase == Phase::Successful {
            metadata.insert(words::CONCLUDED.to_owned(), "true".to_owned());
        }
        let mean = |rates: &[f64]| Counts::new(rates.iter().sum(), rates.iter().map(|_| 1.0).sum()).share();
        let stored = format!("[{:.6},{:.6}]", mean(&canary), mean(&stable));
        let message = format!("Kayenta's judge: {said} ({} and {} minutes)", canary.len(), stable.len());
        Ok(Outcome::Judged { phase, message, stored, metadata })
    }
}
