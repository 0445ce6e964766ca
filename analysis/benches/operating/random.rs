//! Random numbers of the distributions that the worlds need, from a seed: the same seed gives the same world.

use std::f64::consts::TAU;

/// From this mean on a Poisson number is taken from the normal distribution.
const LARGE: f64 = 40.0;

pub struct Random {
    uniform: fastrand::Rng,
    spare: Option<f64>,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { uniform: fastrand::Rng::with_seed(seed), spare: None }
    }

    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * (1.0 - self.uniform.f64()).ln()).sqrt();
        let (sine, cosine) = (TAU * self.uniform.f64()).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }

    pub fn poisson(&mut self, mean: f64) -> f64 {
        if mean > LARGE {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let mut chance = (-mean).exp();
        let mut left = self.uniform.f64() - chance;
        let mut count = 0.0;
        while left > 0.0 && count < 1_000.0 {
            count += 1.0;
            chance *= mean / count;
            left -= chance;
        }
        count
    }

    /// Marsaglia and Tsang, ACM Transactions on Mathematical Software 26, 2000.
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let boost = (1.0 - self.uniform.f64()).powf(1.0 / shape);
            return self.gamma(shape + 1.0) * boost;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && (1.0 - self.uniform.f64()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    /// A share with this mean and standard deviation.
    pub fn beta(&mut self, mean: f64, deviation: f64) -> f64 {
        let size = (mean * (1.0 - mean) / (deviation * deviation) - 1.0).max(1e-3);
        let (a, b) = (self.gamma(mean * size), self.gamma((1.0 - mean) * size));
        a / (a + b)
    }
}

/// Noise that forgets itself over some time; its standard deviation is 1.
#[derive(Clone, Copy)]
pub struct Slow {
    now: f64,
    keep: f64,
}

impl Slow {
    /// `memory` is how many steps it takes to forget.
    pub fn new(memory: f64, random: &mut Random) -> Self {
        Self { now: random.normal(), keep: (-1.0 / memory).exp() }
    }

    pub fn next(&mut self, random: &mut Random) -> f64 {
        self.now = self.keep * self.now + (1.0 - self.keep * self.keep).sqrt() * random.normal();
        self.now
    }
}
