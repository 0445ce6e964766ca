//! How much wider than independent failures the counts spread: the divisor of all evidence.
//!
//! Failures come in bursts, pods differ, and a test that takes every failure for an independent one aborts healthy releases. The measure is
//! a chi-square per degree of freedom (quasi-likelihood; Wedderburn, Biometrika 61, 1974), taken of the *stable* version, over blocks
//! joined in groups of several lengths, because what drifts slowly is invisible in short ones.
//!
//! Invariants: never below 1; what hits all pods alike does not count where pods can be told apart.

use serde::{Deserialize, Serialize};

use super::counts::Counts;

/// Lengths of groups, in blocks.
pub const SCALES: [usize; 6] = [1, 3, 6, 18, 30, 60];
/// A scale with fewer degrees of freedom says nothing.
const ENOUGH: f64 = 9.0;
/// Before anything is known.
const PRIOR: f64 = 2.0;
/// What the prior weighs, in degrees of freedom.
const PRIOR_WEIGHT: f64 = 12.0;

/// Chi-square and degrees of freedom of the pods of one group, given its failures.
fn between(pods: &[Counts]) -> (f64, f64) {
    let mut whole = Counts::default();
    let mut present = 0.0;
    for pod in pods.iter().filter(|pod| pod.total > 0.0) {
        whole.add(*pod);
        present += 1.0;
    }
    if whole.failed <= 0.0 || present < 2.0 {
        return (0.0, 0.0);
    }
    let rate = whole.share();
    let square = pods.iter().filter(|pod| pod.total > 0.0).map(|pod| {
        let expected = rate * pod.total;
        (pod.failed - expected).powi(2) / expected
    });
    (square.sum(), present - 1.0)
}

fn widest(scales: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let known = scales.filter(|(_, freedom)| *freedom >= ENOUGH).map(|(square, freedom)| square / freedom);
    known.reduce(f64::max).map(|widest| widest.max(1.0))
}

/// Between the pods: `blocks[j][i]` is the pod `i` in the block `j`. Nothing when there is too little to tell.
pub fn between_pods(blocks: &[impl AsRef<[Counts]>], scales: &[usize]) -> Option<f64> {
    let pods = blocks.iter().map(|block| block.as_ref().len()).max().unwrap_or(0);
    let mut group = vec![Counts::default(); pods];
    widest(scales.iter().map(|scale| {
        let (mut square, mut freedom) = (0.0, 0.0);
        for blocks in blocks.chunks_exact((*scale).max(1)) {
            group.fill(Counts::default());
            for block in blocks {
                for (sum, counts) in group.iter_mut().zip(block.as_ref()) {
                    sum.add(*counts);
                }
            }
            let (more, free) = between(&group);
            square += more;
            freedom += free;
        }
        (square, freedom)
    }))
}

/// Over time, where pods cannot be told apart. A storm widens it: safe, but slower.
pub fn over_time(blocks: &[Counts], scales: &[usize]) -> Option<f64> {
    widest(scales.iter().map(|scale| {
        let groups: Vec<Counts> = blocks
            .chunks_exact((*scale).max(1))
            .map(|blocks| {
                let mut sum = Counts::default();
                for block in blocks {
                    sum.add(*block);
                }
                sum
            })
            .collect();
        between(&groups)
    }))
}

/// One scale of what is learnt on the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Scale {
    group: Counts,
    blocks: usize,
    before: Counts,
    square: f64,
    freedom: f64,
}

/// What is learnt during the release itself, when there is no history: each group against all before it. The guarantee is weaker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Online([Scale; 6]);

impl Online {
    /// Takes in the stable version's counts of one block, *after* the block was judged.
    pub fn add(&mut self, stable: Counts) {
        for (scale, length) in self.0.iter_mut().zip(SCALES) {
            scale.group.add(stable);
            scale.blocks += 1;
            if scale.blocks == length {
                let (square, freedom) = between(&[scale.before, scale.group]);
                scale.square += square;
                scale.freedom += freedom;
                scale.before.add(scale.group);
                scale.group = Counts::default();
                scale.blocks = 0;
            }
        }
    }

    /// The estimate so far, drawn towards 2; a scale of which nothing was seen yet says nothing.
    pub fn estimate(&self) -> f64 {
        let seen = self.0.iter().filter(|scale| scale.freedom > 0.0);
        let estimates = seen.map(|scale| (PRIOR * PRIOR_WEIGHT + scale.square) / (PRIOR_WEIGHT + scale.freedom));
        estimates.reduce(f64::max).map_or(PRIOR, |widest| widest.max(1.0))
    }
}
