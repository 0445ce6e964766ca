//! How a pod behaves, by the words of its image's tag: `good`, `errors-5pct`, `slow-300ms`, also together: `errors-5pct-slow-300ms`.

use std::time::Duration;

/// What the tag asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Behaviour {
    /// Of a hundred requests so many are answered 500.
    errors_percent: u64,
    /// How long each answer takes.
    pub(super) delay: Option<Duration>,
}

/// The tag of an image, `latest` when it has none.
pub(super) fn version(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => tag,
        _ => "latest",
    }
}

impl Behaviour {
    /// Reads a tag; words it does not know mean nothing.
    pub(super) fn of(tag: &str) -> Self {
        let mut behaviour = Self::default();
        let mut words = tag.split('-').peekable();
        while let Some(word) = words.next() {
            let mut number =
                |suffix: &str| words.peek().and_then(|next| next.strip_suffix(suffix)?.parse::<u64>().ok());
            match word {
                "errors" => behaviour.errors_percent = number("pct").unwrap_or(0).min(100),
                "slow" => behaviour.delay = number("ms").map(Duration::from_millis),
                _ => {}
            }
        }
        behaviour
    }

    /// Whether the pod's `nth` request (from 1) fails: evenly spaced, so that the rate is exact over every hundred.
    pub(super) fn fails(&self, nth: u64) -> bool {
        nth * self.errors_percent / 100 > (nth - 1) * self.errors_percent / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_say_how_to_behave() {
        assert_eq!(version("registry.example:5000/app"), "latest");
        assert_eq!(version("registry.example:5000/app:errors-5pct@sha256:1"), "errors-5pct");
        assert_eq!(Behaviour::of("good"), Behaviour::default());
        assert_eq!(Behaviour::of("slow-300ms").delay, Some(Duration::from_millis(300)));
        let both = Behaviour::of("v2-errors-5pct-slow-20ms");
        assert_eq!((both.errors_percent, both.delay), (5, Some(Duration::from_millis(20))));
    }

    #[test]
    fn the_rate_of_errors_is_exact_and_even() {
        for percent in [0, 1, 5, 33, 100] {
            let behaviour = Behaviour { errors_percent: percent, delay: None };
            for start in [0, 700] {
                let failed = (1..=100).filter(|n| behaviour.fails(start + n)).count();
                assert_eq!(failed as u64, percent);
            }
        }
        let failing: Vec<u64> = (1..=60).filter(|&nth| Behaviour::of("errors-5pct").fails(nth)).collect();
        assert_eq!(failing, [20, 40, 60]);
    }
}
