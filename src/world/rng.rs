//! Counted randomness (DESIGN D10): a number is a pure function of its key, never of how many were drawn before.
//!
//! [`Key`] hashes a path of words (seed, purpose, stream, pass, sample, view …) with SplitMix64's finalizer;
//! [`Rng`] counts upwards from a key. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.

/// A position in the tree of random streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Key {
    /// The root of all streams of a run.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed.wrapping_add(GOLDEN)))
    }

    /// The child for a number, such as an epoch or a sample index.
    #[must_use]
    pub fn with(self, number: u64) -> Self {
        Self(mix(self.0.rotate_left(17).wrapping_add(GOLDEN) ^ mix(number.wrapping_add(GOLDEN))))
    }

    /// The child for a word, such as a purpose or a parameter name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        name.bytes().fold(self.with(name.len() as u64), |key, byte| key.with(u64::from(byte)))
    }

    /// The numbers of this key, from the first.
    pub fn rng(self) -> Rng {
        Rng { key: self.0, count: 0, spare: None }
    }

    /// The key as a number, for kernels that count by themselves.
    pub fn bits(self) -> u64 {
        self.0
    }
}

/// The numbers of one [`Key`] in order.
#[derive(Debug, Clone)]
pub struct Rng {
    key: u64,
    count: u64,
    spare: Option<f64>,
}

impl Rng {
    /// 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
        self.count += 1;
        mix(self.key ^ mix(self.count.wrapping_mul(GOLDEN)))
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in [low, high).
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Uniform integer in 0..n; 0 for n = 0.
    pub fn below(&mut self, n: usize) -> usize {
        // Multiply-shift: the bias is below n / 2^64.
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Standard normal, Box–Muller.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.uniform();
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }

    /// Fisher–Yates permutation of 0..n.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_path() {
        let root = Key::new(0);
        assert_eq!(root.with(1).with(2), root.with(1).with(2));
        assert_ne!(root.with(1).with(2), root.with(2).with(1));
        assert_ne!(root.named("a"), root.named("b"));
        assert_ne!(Key::new(0), Key::new(1));
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut rng = Key::new(7).rng();
        let n = 200_000;
        let uniform: f64 = (0..n).map(|_| rng.uniform()).sum::<f64>() / f64::from(n);
        assert!((uniform - 0.5).abs() < 3e-3, "{uniform}");
        let normals: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(n);
        let variance = normals.iter().map(|x| x * x).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 1e-2 && (variance - 1.0).abs() < 2e-2, "{mean} {variance}");
    }

    #[test]
    fn a_permutation_holds_every_index_once() {
        let mut order = Key::new(3).rng().permutation(100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}
