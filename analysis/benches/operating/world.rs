//! Worlds in which failures happen: how the failure rate of each pod moves, and how failures come.

use analysis::comparison::Counts;

use super::random::{Random, Slow};

/// Pods of the stable version; each has as many requests as the canary's.
pub const STABLE: usize = 4;
/// Failures of a healthy version.
pub const HEALTHY: f64 = 0.005;
/// Seconds of a block.
pub const BLOCK: f64 = 10.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// Every request fails by itself.
    Independent,
    /// The rate of each pod is another one in each block: a beta distribution whose deviation is 1.5 times its mean.
    PodNoise,
    /// Failures come five at a time.
    Bursts,
    /// The rate of each pod drifts: deviation 0.5 of its logarithm, forgotten over 2 minutes.
    SlowNoise,
    /// The same with deviation 1 over 10 minutes.
    VerySlowNoise,
    /// The rate of all pods drifts together: deviation 1 over 2 minutes.
    CommonStorm,
}

impl World {
    pub const ALL: [Self; 6] =
        [Self::Independent, Self::PodNoise, Self::Bursts, Self::SlowNoise, Self::VerySlowNoise, Self::CommonStorm];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Independent => "independent",
            Self::PodNoise => "pod-noise",
            Self::Bursts => "bursts",
            Self::SlowNoise => "slow-noise",
            Self::VerySlowNoise => "very-slow-noise",
            Self::CommonStorm => "common-storm",
        }
    }

    /// Deviation and memory in blocks of the noise.
    const fn noise(self) -> (f64, f64) {
        match self {
            Self::Independent | Self::PodNoise | Self::Bursts => (0.0, 1.0),
            Self::SlowNoise => (0.5, 12.0),
            Self::VerySlowNoise => (1.0, 60.0),
            Self::CommonStorm => (1.0, 12.0),
        }
    }
}

/// The pods of a world and the state of their noise; pod 0 is the canary's.
#[derive(Clone)]
pub struct Pods {
    world: World,
    requests: f64,
    noise: [Slow; STABLE + 1],
}

impl Pods {
    pub fn new(world: World, rps: f64, random: &mut Random) -> Self {
        let (_, memory) = world.noise();
        Self { world, requests: rps * BLOCK, noise: std::array::from_fn(|_| Slow::new(memory, random)) }
    }

    /// The stable pods alone, before the release.
    pub fn history(&mut self, random: &mut Random) -> [Counts; STABLE] {
        let [_, stable @ ..] = self.block(1.0, random);
        stable
    }

    /// One block: the canary's pod, then the stable ones.
    pub fn block(&mut self, effect: f64, random: &mut Random) -> [Counts; STABLE + 1] {
        let (deviation, _) = self.world.noise();
        // The mean of the rate is the same with and without noise.
        let factor = |noise: &mut Slow, random: &mut Random| {
            if deviation > 0.0 { (deviation * noise.next(random) - deviation * deviation / 2.0).exp() } else { 1.0 }
        };
        let mut factors = [1.0; STABLE + 1];
        if self.world == World::CommonStorm {
            factors = [factor(&mut self.noise[0], random); STABLE + 1];
        } else {
            for (one, noise) in factors.iter_mut().zip(&mut self.noise) {
                *one = factor(noise, random);
            }
        }
        std::array::from_fn(|pod| {
            let rate = (HEALTHY * factors[pod] * if pod == 0 { effect } else { 1.0 }).min(1.0);
            let total = random.poisson(self.requests);
            let failed = match self.world {
                World::PodNoise => {
                    let rate = random.beta(rate, 1.5 * rate);
                    random.poisson(total * rate)
                }
                World::Bursts => 5.0 * random.poisson(total * rate / 5.0),
                World::Independent | World::SlowNoise | World::VerySlowNoise | World::CommonStorm => {
                    random.poisson(total * rate)
                }
            };
            Counts::new(failed.min(total), total)
        })
    }
}
