//! What bytes count for quotas: up and down together, times the multiplier of the node that they went through.

use std::collections::BTreeMap;

use crate::model::{
    NodeId, SubscriptionId,
    fold::{Bytes, UsageKey},
};

/// The weight of a batch for each subscription, in order. A node that is not among the multipliers weighs as it counts.
pub(super) fn weighed(
    usage: &BTreeMap<UsageKey, Bytes>,
    multipliers: &BTreeMap<NodeId, f64>,
) -> BTreeMap<SubscriptionId, i64> {
    let mut sums: BTreeMap<(NodeId, SubscriptionId), i128> = BTreeMap::new();
    for (key, Bytes { up, down }) in usage {
        if let Some(subscription) = key.subscription {
            *sums.entry((key.node, subscription)).or_default() += up + down;
        }
    }
    let mut weighed: BTreeMap<SubscriptionId, i64> = BTreeMap::new();
    for ((node, subscription), sum) in sums {
        let factor = multipliers.get(&node).copied().unwrap_or(1.0);
        let total = weighed.entry(subscription).or_default();
        *total = total.saturating_add(times(sum, factor));
    }
    weighed
}

fn times(bytes: i128, factor: f64) -> i64 {
    // The usual factor loses no byte.
    if factor.to_bits() == 1.0_f64.to_bits() {
        return i64::try_from(bytes).unwrap_or(i64::MAX);
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a weight need not be exact above 2^53 bytes a batch, and the cast back saturates"
    )]
    let weighed = (bytes as f64 * factor).round() as i64;
    weighed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_saturate_and_one_is_exact() {
        let large = (1_i128 << 53) + 1;
        assert_eq!(i128::from(times(large, 1.0)), large);
        assert_eq!(times(10, 1.5), 15);
        assert_eq!(times(10, 0.0), 0);
        assert_eq!(times(i128::from(i64::MAX), 2.0), i64::MAX);
        assert_eq!(times(i128::MAX, 1.0), i64::MAX);
    }
}
