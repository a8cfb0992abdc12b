//! Where a store's schema stands beside the migrations of this Core.

use refinery::Migration;

use crate::model::finding::Finding;

/// Migrations, as their files are called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Standing {
    /// Those that are still to be run.
    pub pending: Vec<String>,
    /// Those that were run and that this Core does not know.
    pub unknown: Vec<String>,
}

impl Standing {
    /// By what was run, as version and name.
    pub(super) fn new(ours: &[Migration], done: &[(i64, String)]) -> Self {
        let mut ours: Vec<&Migration> = ours.iter().collect();
        ours.sort();
        let version = |it: &Migration| i64::from(it.version());
        let pending = ours
            .iter()
            .filter(|it| !done.iter().any(|(done, _)| *done == version(it)));
        let unknown = done
            .iter()
            .filter(|(done, _)| !ours.iter().any(|it| version(it) == *done));
        Self {
            pending: pending.map(|it| name(it)).collect(),
            unknown: unknown
                .map(|(version, name)| format!("V{version:04}__{name}"))
                .collect(),
        }
    }

    /// Nothing is to be run, and nothing is unknown.
    pub(super) fn is_current(&self) -> bool {
        *self == Self::default()
    }

    /// What an operator should know of it.
    pub(super) fn finding(&self) -> Finding {
        if !self.unknown.is_empty() {
            let unknown = self.unknown.join(", ");
            return Finding::bad(
                format!("the schema was made by a newer Core: {unknown}"),
                "Run that version of Core, or a newer one.",
            );
        }
        if !self.pending.is_empty() {
            let pending = self.pending.join(", ");
            return Finding::warn(
                format!("the schema is not up to date: {pending}"),
                "The next start runs these migrations, or `vpn-core migrate` does.",
            );
        }
        Finding::ok("the schema is up to date")
    }
}

/// As its file is called.
pub(super) fn name(migration: &Migration) -> String {
    format!("V{:04}__{}", migration.version(), migration.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Level;

    #[test]
    fn old_and_new_are_told_apart() {
        let ours = [
            Migration::unapplied("V0002__more", "SELECT 2").unwrap(),
            Migration::unapplied("V0001__first", "SELECT 1").unwrap(),
        ];
        let done = |versions: &[i64]| versions.iter().map(|it| (*it, "what".to_owned())).collect::<Vec<_>>();
        let standing = |versions: &[i64]| Standing::new(&ours, &done(versions));
        assert_eq!(standing(&[]).pending, ["V0001__first", "V0002__more"]);
        assert_eq!(standing(&[1, 2]), Standing::default());
        assert_eq!(standing(&[1, 2, 3]).unknown, ["V0003__what"]);
        let levels = [&[1, 2][..], &[1], &[1, 2, 3]].map(|it| standing(it).finding().level);
        assert_eq!(levels, [Level::Ok, Level::Warn, Level::Bad]);
    }
}
