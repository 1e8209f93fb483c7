//! The Istio router against its goldens and laws. It must not test decisions.

use super::*;
