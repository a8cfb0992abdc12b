//! The ids of new rows: a table's own sequence gives them, and never twice.

use super::{fault::Fault, line::Line};

/// So many ids that nobody else gets, in order.
pub(super) async fn take(line: &Line, table: &'static str, count: usize) -> Result<Vec<i64>, Fault> {
    pass(line, table).await?;
    let sql = "SELECT nextval(pg_get_serial_sequence($1::text, 'id')) FROM generate_series(1, $2::bigint)";
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let rows = line.query(sql, &[&table, &count]).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// Moves the sequence past the ids that are in the table: whoever writes rows with ids of his own does not move it.
pub(super) async fn pass(line: &Line, table: &'static str) -> Result<(), Fault> {
    // The sequence tells where it is at the moment when it is moved, so that it never goes back.
    let sql = format!(
        "SELECT setval(pg_get_serial_sequence($1::text, 'id'), greatest(top.id, nextval(pg_get_serial_sequence($1::text, 'id')))) \
         FROM (SELECT max(id) AS id FROM {table}) AS top \
         WHERE top.id > coalesce(pg_sequence_last_value(pg_get_serial_sequence($1::text, 'id')::regclass), 0)"
    );
    line.query(&sql, &[&table]).await?;
    Ok(())
}
