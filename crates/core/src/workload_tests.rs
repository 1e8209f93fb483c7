//! What the contract says of workloads, case by case. It must not test decisions.

use super::*;
