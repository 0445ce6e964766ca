//! The root of a function by Brent's method, along the very path that R's `zeroin` takes: the judge's function is a step function, so the
//! digits of a root depend on the path (Brent, Algorithms for Minimization without Derivatives, 1973, chapter 4).

/// Steps after which the last point is the answer.
const STEPS: usize = 1_000;

/// A root of `f` between `a` and `b`, to `tolerance`. The letters are those of the book.
#[allow(clippy::many_single_char_names)]
pub(super) fn root(f: impl Fn(f64) -> f64, mut a: f64, mut b: f64, tolerance: f64) -> f64 {
    let (mut fa, mut fb) = (f(a), f(b));
    if fa == 0.0 {
        return a;
    }
    if fb == 0.0 {
        return b;
    }
    let (mut c, mut fc) = (a, fa);
    for _ in 0..=STEPS {
        let before = b - a;
        if fc.abs() < fb.abs() {
            (a, b, c) = (b, c, b);
            (fa, fb, fc) = (fb, fc, fb);
        }
        let close = 2.0 * f64::EPSILON * b.abs() + tolerance / 2.0;
        let mut step = (c - b) / 2.0;
        if step.abs() <= close || fb == 0.0 {
            return b;
        }
        if before.abs() >= close && fa.abs() > fb.abs() {
            let width = c - b;
            let (mut p, mut q);
            #[allow(clippy::float_cmp)] // The same point, not a near one.
            if a == c {
                let t = fb / fa;
                p = width * t;
                q = 1.0 - t;
            } else {
                let (s, t, u) = (fa / fc, fb / fc, fb / fa);
                p = u * (width * s * (s - t) - (b - a) * (t - 1.0));
                q = (s - 1.0) * (t - 1.0) * (u - 1.0);
            }
            if p > 0.0 {
                q = -q;
            } else {
                p = -p;
            }
            if p < 0.75 * width * q - (close * q).abs() / 2.0 && p < (before * q / 2.0).abs() {
                step = p / q;
            }
        }
        if step.abs() < close {
            step = if step > 0.0 { close } else { -close };
        }
        (a, fa) = (b, fb);
        b += step;
        fb = f(b);
        if (fb > 0.0 && fc > 0.0) || (fb < 0.0 && fc < 0.0) {
            (c, fc) = (a, fa);
        }
    }
    b
}

#[cfg(test)]
mod tests {
    use super::root;

    #[test]
    fn finds_roots_and_ends_of_intervals() {
        assert!((root(|x| x * x - 2.0, 0.0, 2.0, 1e-12) - 2.0_f64.sqrt()).abs() < 1e-11);
        assert!(root(|x| x, 0.0, 1.0, 1e-4).abs() < 1e-12);
        assert!((root(|x| x - 1.0, 0.0, 1.0, 1e-4) - 1.0).abs() < 1e-12);
    }
}
