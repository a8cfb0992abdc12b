//! telemt's Prometheus metrics, as far as an agent needs them.

/// A sample of one user.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    /// Which series.
    pub name: &'a str,
    /// The label `user`.
    pub user: &'a str,
    /// The value; counters of bytes and gauges of connections are whole numbers.
    pub value: i64,
}

/// The samples that have the label `user`. A user's name has no quotes in it, so that nothing needs unescaping.
pub fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter_map(sample)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let (name, rest) = line.split_once('{')?;
    let (labels, value) = rest.split_once('}')?;
    let user = labels
        .split(',')
        .find_map(|label| label.trim().strip_prefix("user=\""))?;
    Some(Sample {
        name: name.trim(),
        user: user.strip_suffix('"')?,
        value: whole(value.split_whitespace().next()?)?,
    })
}

/// Prometheus may write any number as a float.
#[allow(clippy::cast_possible_truncation, reason = "bytes below 2^53, and a cast saturates")]
fn whole(text: &str) -> Option<i64> {
    let value = text
        .parse::<i64>()
        .ok()
        .or_else(|| Some(text.parse::<f64>().ok()?.round() as i64));
    value.filter(|value| *value >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_users_are_found() {
        let text = "# HELP telemt_user_octets_from_client x\n# TYPE telemt_user_octets_from_client counter\n\
            telemt_uptime_seconds 12.5\n\
            telemt_user_octets_from_client{user=\"u1.l2.s3.i18\"} 12345\n\
            telemt_user_octets_to_client{dc=\"2\",user=\"u1.l2.s3.i18\"} 1.5e6 1700000000\n\
            telemt_user_connections_current{user=\"u1.l2.s3.i18\"} x\n\
            telemt_other{listener=\"a\"} 1\n";
        let sample = |name, value| Sample {
            name,
            user: "u1.l2.s3.i18",
            value,
        };
        let found: Vec<Sample<'_>> = samples(text).collect();
        assert_eq!(
            found,
            [
                sample("telemt_user_octets_from_client", 12_345),
                sample("telemt_user_octets_to_client", 1_500_000),
            ]
        );
    }
}
