//! The middle of what was measured, and its spread.

/// Sorted, and not empty.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured(Vec<f64>);

impl Measured {
    /// `None` of nothing.
    pub(crate) fn new(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        (!values.is_empty()).then_some(Self(values))
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The middle half of the values lies between these.
    pub(crate) fn quartiles(&self) -> (f64, f64) {
        (self.quantile(0.25), self.quantile(0.75))
    }

    pub(crate) fn most(&self) -> f64 {
        self.quantile(1.0)
    }

    /// Of so many values.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Between the two values that are nearest.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let place = share * (self.0.len() - 1) as f64;
        let (below, above) = (self.0[place.floor() as usize], self.0[place.ceil() as usize]);
        below + (above - below) * place.fract()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_values() {
        let of = |values: &[f64]| Measured::new(values.to_vec()).expect("values");
        assert_eq!(of(&[3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        assert_eq!(of(&[5.0, 1.0, 2.0, 4.0, 3.0]).quartiles(), (2.0, 4.0));
        assert_eq!((of(&[7.0]).most(), of(&[1.0, 3.0]).quantile(0.95)), (7.0, 2.9));
        assert_eq!(Measured::new(vec![]), None);
    }
}
