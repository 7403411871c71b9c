//! What is fixed before a run.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::seed::Seed;

/// What kind of count a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// An integer that an operation must leave as it was.
    Exact,
    /// Memory, which moves by itself: judged in runs of ten minutes or more.
    Noisy,
}

/// Something that could leak.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Its name in readings and results: `user_references`.
    pub name: String,
    /// Its class.
    pub class: Class,
    /// The leak per operation that must be ruled out, in `unit`s.
    pub lambda_star: f64,
    /// What is not called a leak, in `unit`s per operation: 0 for what is exact. What an allocator holds creeps with what it
    /// is asked for, long after a warm-up, though nothing is lost.
    #[serde(default)]
    pub tolerated: f64,
    /// What is counted, for people, in the plural: `user references`, `KiB of resident memory`. Count the smallest
    /// amount that can leak: pages, not bytes, where whole pages do.
    pub unit: String,
}

impl Resource {
    /// A resource that operations must leave exactly as it was.
    #[must_use]
    pub fn exact(name: &str, unit: &str, lambda_star: f64) -> Self {
        Self::new(name, Class::Exact, unit, lambda_star, 0.0)
    }

    /// A resource that moves by itself.
    #[must_use]
    pub fn noisy(name: &str, unit: &str, lambda_star: f64, tolerated: f64) -> Self {
        Self::new(name, Class::Noisy, unit, lambda_star, tolerated)
    }

    fn new(name: &str, class: Class, unit: &str, lambda_star: f64, tolerated: f64) -> Self {
        Self {
            name: name.to_owned(),
            class,
            lambda_star,
            tolerated,
            unit: unit.to_owned(),
        }
    }
}

/// An experiment's design.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Design {
    /// Decides which block of each pair is the treatment, and which sign flips are compared.
    pub seed: Seed,
    /// What is performed, for people, in the singular: `sample`.
    pub operation: String,
    /// How many are performed in a treatment block: *D*.
    pub operations_per_block: NonZeroU32,
    /// What is read after every block.
    pub resources: Vec<Resource>,
}

/// A design that cannot be judged.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DesignError {
    /// There is nothing to judge.
    #[error("the design names no resource to judge")]
    NoResources,
    /// Two resources of one name.
    #[error("the design names the resource {0:?} twice")]
    Twice(String),
    /// The leak to rule out is not a positive number.
    #[error("the leak of {resource:?} to rule out must be a positive number, not {lambda_star}")]
    LambdaStar {
        /// Of which resource.
        resource: String,
        /// What it was.
        lambda_star: f64,
    },
}

impl Design {
    pub(super) fn check(&self) -> Result<(), DesignError> {
        if self.resources.is_empty() {
            return Err(DesignError::NoResources);
        }
        for (index, resource) in self.resources.iter().enumerate() {
            let name = || resource.name.clone();
            if self.resources[..index]
                .iter()
                .any(|other| other.name == resource.name)
            {
                return Err(DesignError::Twice(name()));
            }
            if !(resource.lambda_star.is_finite() && resource.lambda_star > 0.0) {
                return Err(DesignError::LambdaStar {
                    resource: name(),
                    lambda_star: resource.lambda_star,
                });
            }
        }
        Ok(())
    }
}
