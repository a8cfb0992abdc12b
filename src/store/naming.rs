//! How a store names what is wrong with a row of the caller's: one wording for every store.

use std::fmt;

use super::StoreError;

/// Ids above this do not fit the names that engines know a user by (64 letters for four ids).
const MAX_ID: i64 = 1 << 45;

/// What is wrong with a column that must have a value.
pub(super) const MISSING: &str = "is missing";

/// Which row of which list of the caller's is looked at; errors name it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The list.
    pub(super) list: &'static str,
    /// Its place in the list.
    pub(super) index: usize,
}

impl Place {
    /// What is wrong with a field of this row.
    pub(super) fn refused(self, field: &str, message: impl Into<String>) -> StoreError {
        StoreError::Refused {
            field: format!("{self}.{field}"),
            message: message.into(),
        }
    }

    /// Ids that do not fit are never written.
    pub(super) fn check_id(self, id: i64) -> Result<(), StoreError> {
        if (1..=MAX_ID).contains(&id) {
            Ok(())
        } else {
            Err(self.refused("id", format!("must be from 1 to {MAX_ID}")))
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.list, self.index)
    }
}

/// A column as JSON names it.
pub(super) fn camel_case(column: &str) -> String {
    let mut upper = false;
    column
        .chars()
        .filter_map(|letter| {
            if letter == '_' {
                upper = true;
                return None;
            }
            let letter = if upper { letter.to_ascii_uppercase() } else { letter };
            upper = false;
            Some(letter)
        })
        .collect()
}

/// What is wrong with a value that a unique key of the table has already. `owner` is the column before it in the key, which says whose it is.
pub(super) fn taken(table: &str, owner: Option<&str>) -> String {
    let what = match table {
        "node_protocols" => "inbound",
        "node_outbounds" => "outbound",
        "node_balancers" => "balancer",
        "subscription_links" => "subscription link",
        other => other.trim_end_matches('s'),
    };
    let whose = match owner {
        Some("node_id") => " of the node",
        Some("link_id") => " of the link",
        _ => "",
    };
    // Their bytes are counted by tag.
    let deleted = if what == "outbound" {
        ", perhaps one that was deleted"
    } else {
        ""
    };
    format!("is taken by another {what}{whose}{deleted}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_camel_case_in_json() {
        assert_eq!(camel_case("traffic_multiplier"), "trafficMultiplier");
    }

    #[test]
    fn a_taken_value_says_by_what() {
        assert_eq!(
            taken("node_outbounds", Some("node_id")),
            "is taken by another outbound of the node, perhaps one that was deleted"
        );
        assert_eq!(taken("users", None), "is taken by another user");
    }
}
