//! `comparison`: the canary against the stable version at the same time, judged as often as one likes at a stated rate of false alarms.
//!
//! | what is compared | how | where |
//! |---|---|---|
//! | failed of all requests | e-process on blocks of counts | [`harm`], [`safety`], [`bound`] |
//! | the same, without a measure of dispersion | bets on shares of failures | [`robust`] |
//! | latency | the first, on requests slower than the bounds of a histogram | [`latency`] |
//! | gauges | bets on ranks among pods | [`gauge`] |
//! | anything, Kayenta's way | Mann-Whitney | [`kayenta`] |
//!
//! [`evidence`] is one comparison from its first block to its verdict, [`wanted`] what a metric says about it.
//!
//! `docs/analysis.md` says what the guarantee means, and shows what was measured.
//!
//! Invariants: pure and small: a state is a few dozen numbers, taking in a block takes microseconds and no input makes it panic. Evidence is a
//! natural logarithm everywhere; it speaks against a release from [`threshold`] on.

pub mod bound;
pub mod budget;
pub mod counts;
pub mod dispersion;
pub mod evidence;
pub mod gauge;
pub mod harm;
pub mod kayenta;
pub mod latency;
mod mixture;
pub mod robust;
pub mod safety;
pub mod wanted;
mod words;

pub use counts::{Block, Counts};
pub use harm::Tolerance;

/// The logarithm from which evidence is enough, at a chance of a false alarm of `alpha`.
pub fn threshold(alpha: f64) -> f64 {
    -alpha.ln()
}
