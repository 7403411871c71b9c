//! Random assignment and sign flips from a recorded seed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whatever is drawn at random comes from here, so that a run can be judged again. Written as 16 hexadecimal digits:
/// a JSON number keeps 53 bits only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Seed(pub u64);

/// What is written is not a seed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a seed is 1 to 16 hexadecimal digits, not {0:?}")]
pub struct SeedError(String);

impl Seed {
    /// Whether the treatment block of a pair is first: the top bit of the pair's word in the sequence.
    #[must_use]
    pub fn treatment_first(self, pair: usize) -> bool {
        let before = Random::GAMMA.wrapping_mul(pair as u64);
        Random(self.0.wrapping_add(before)).coin()
    }

    /// Another seed, for another purpose.
    #[must_use]
    pub fn fork(self, purpose: u64) -> Self {
        Self(Random(self.0 ^ purpose).word())
    }

    /// The sequence that starts here.
    #[must_use]
    pub fn random(self) -> Random {
        Random(self.0)
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Seed {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Self, SeedError> {
        // `from_str_radix` would take a sign.
        let digits = text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let read = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        read.map(Self).ok_or_else(|| SeedError(text.to_owned()))
    }
}

impl TryFrom<String> for Seed {
    type Error = SeedError;

    fn try_from(text: String) -> Result<Self, SeedError> {
        text.parse()
    }
}

impl From<Seed> for String {
    fn from(seed: Seed) -> Self {
        seed.to_string()
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014, 10.1145/2660193.2660195; the constants are those of Vigna's `splitmix64.c`).
///
/// In house because it has to stay: a seed found in an old `results.json` must give the same assignment with any version of
/// this program, and in any language. These are nine lines; the seeding of a library's generators is theirs to change.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

    /// 64 random bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::GAMMA);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A fair coin: the top bit of a word.
    pub fn coin(&mut self) -> bool {
        self.word() >> 63 == 1
    }

    /// Uniform in [0, 1), of 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_the_published_generator() {
        let mut random = Seed(1_234_567).random();
        let words: Vec<u64> = (0..5).map(|_| random.word()).collect();
        assert_eq!(
            words,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
    }

    #[test]
    fn coins_are_the_top_bits_of_the_sequence_and_fair() {
        let seed = Seed(20_261_122);
        let mut random = seed.random();
        let heads = (0..10_000).filter(|&pair| {
            let coin = seed.treatment_first(pair);
            assert_eq!(coin, random.word() >> 63 == 1, "pair {pair}");
            coin
        });
        let heads = heads.count();
        assert!((4_800..=5_200).contains(&heads), "{heads} of 10,000");
    }

    #[test]
    fn a_seed_is_written_and_read_in_full() {
        let seed = Seed(0x00ff_ffff_ffff_fffe);
        let json = serde_json::to_string(&seed).unwrap();
        assert_eq!(json, "\"00fffffffffffffe\"");
        assert_eq!(serde_json::from_str::<Seed>(&json).unwrap(), seed);
        for text in ["", "+1", "xyz", "0x1", "10000000000000000"] {
            let error = text.parse::<Seed>().unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
