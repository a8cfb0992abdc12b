//! Takes in everything that an embedded store holds: one transaction, all or nothing, and only what adds up.

use rusqlite::types::ValueRef;

use super::{
    PostgresStore,
    copy::Rows,
    fault::Fault,
    line::Line,
    values::{json_of, storable},
};
use crate::{
    model::Time,
    store::{
        StoreError,
        moving::{Kind, TABLES, Table, Tally},
        sqlite::giving::{Source, read_failed},
    },
};

/// Bytes that are sent as one COPY: with what the triggers keep of its rows, memory stays below some 10 MB on both ends.
const PIECE: usize = 1 << 20;

/// What was moved: a table, and its rows.
pub type Moved = (&'static str, i64);

impl PostgresStore {
    /// Takes in all that the source holds. The schema must be up to date, and there may be no row yet.
    pub async fn take_in(&self, source: &Source) -> Result<Vec<Moved>, StoreError> {
        let line = self.door.lines.open(None).await.map_err(Fault::into_store_error)?;
        let sql = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; BEGIN";
        // What fails leaves with the connection, and nothing of it stays.
        line.client.batch_execute(sql).await.map_err(said)?;
        let moved = move_all(&line, source).await?;
        line.client.batch_execute("COMMIT").await.map_err(said)?;
        Ok(moved)
    }

    /// Refuses a schema that holds something.
    pub async fn refuse_unless_empty(&self) -> Result<(), StoreError> {
        let line = self.door.lines.open(None).await.map_err(Fault::into_store_error)?;
        empty(&line).await
    }
}

async fn move_all(line: &Line, source: &Source) -> Result<Vec<Moved>, StoreError> {
    let names: Vec<_> = TABLES.iter().map(|table| table.name).collect();
    // Nobody else writes until all is there; whoever reads sees nothing of it.
    let lock = format!("LOCK TABLE {} IN EXCLUSIVE MODE", names.join(", "));
    line.client.batch_execute(&lock).await.map_err(said)?;
    empty(line).await?;
    let before = source.tallies()?;
    for table in TABLES {
        if table.name == "wireguard_slots" {
            // Those that the triggers gave to the members that have just come.
            let sql = "DELETE FROM wireguard_slots; DELETE FROM wireguard_free_slots";
            line.client.batch_execute(sql).await.map_err(said)?;
        }
        copy(line, source, table).await?;
        go_on_behind(line, source, table).await?;
    }
    tell_of_everything(line).await?;
    let mut moved = Vec::with_capacity(TABLES.len());
    for (table, before) in TABLES.iter().zip(before) {
        let after = tally(line, table).await?;
        if after != before {
            let name = table.name;
            let why = format!("{name} does not add up, nothing was moved: {before:?} were there, {after:?} arrived");
            return Err(StoreError::Contradiction(why));
        }
        moved.push((table.name, after.rows));
    }
    Ok(moved)
}

async fn empty(line: &Line) -> Result<(), StoreError> {
    for table in TABLES {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {})", table.name);
        let row = line.client.query_one(&sql, &[]).await.map_err(said)?;
        if row.try_get(0).map_err(said)? {
            return Err(StoreError::Refused {
                field: "the database".to_owned(),
                message: format!("is not empty: {} has rows; nothing was moved", table.name),
            });
        }
    }
    Ok(())
}

async fn copy(line: &Line, source: &Source, table: &Table) -> Result<(), StoreError> {
    let list = table.column_list();
    let sql = format!("COPY {} ({list}) FROM STDIN (FORMAT binary)", table.name);
    let columns = i16::try_from(table.columns.len()).unwrap_or(i16::MAX);
    let new = || Rows::new(columns, PIECE / 100);
    let mut statement = source.rows(table)?;
    let mut found = statement.query([]).map_err(read_failed)?;
    let mut rows = new();
    while let Some(row) = found.next().map_err(read_failed)? {
        rows.row();
        for (at, (name, kind)) in table.columns.iter().enumerate() {
            let value = row.get_ref(at).map_err(read_failed)?;
            put(&mut rows, *kind, value).ok_or_else(|| StoreError::Refused {
                field: format!("{}.{name}", table.name),
                message: format!("holds {}, which PostgreSQL can't keep; nothing was moved", shown(value)),
            })?;
        }
        if rows.bytes() >= PIECE {
            let full = std::mem::replace(&mut rows, new());
            full.send(line, &sql).await.map_err(|fault| refused(table, &fault))?;
        }
    }
    rows.send(line, &sql).await.map_err(|fault| refused(table, &fault))
}

/// Adds a value to the row; none if it is not of that kind.
fn put(rows: &mut Rows, kind: Kind, value: ValueRef<'_>) -> Option<()> {
    match (kind, value) {
        (_, ValueRef::Null) => rows.null(),
        (Kind::Int, ValueRef::Integer(number)) => rows.int(number),
        (Kind::Small, ValueRef::Integer(number)) => rows.small(i32::try_from(number).ok()?),
        (Kind::Bool, ValueRef::Integer(number)) => rows.bool(number != 0),
        (Kind::Time, ValueRef::Integer(millis)) => rows.time(Time::from_millis(millis)),
        (Kind::Float, ValueRef::Real(number)) => rows.float(number),
        (Kind::Text, ValueRef::Text(text)) => rows.text(&storable(std::str::from_utf8(text).ok()?)),
        (Kind::Uuid, ValueRef::Text(text)) => rows.bytes_of(uuid::Uuid::try_parse_ascii(text).ok()?.as_bytes()),
        (Kind::Json, ValueRef::Text(text)) => rows.json(&json_of(std::str::from_utf8(text).ok()?).to_string()),
        (Kind::Ip, ValueRef::Text(text)) => rows.ip(std::str::from_utf8(text).ok()?.parse().ok()?),
        (Kind::Bytes, ValueRef::Blob(bytes)) => rows.bytes_of(bytes),
        _ => return None,
    };
    Some(())
}

/// A value for people; what is long is cut.
fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Text(text) => format!("{:?}", String::from_utf8_lossy(&text[..text.len().min(100)])),
        ValueRef::Blob(bytes) => format!("{} bytes", bytes.len()),
        other => format!("{other:?}"),
    }
}

/// New rows get numbers behind all that were ever given.
async fn go_on_behind(line: &Line, source: &Source, table: &Table) -> Result<(), StoreError> {
    if !table.has_id() {
        return Ok(());
    }
    let last = source.last_id(table)?;
    let sql = format!(
        "SELECT setval(pg_get_serial_sequence('{0}', 'id'), greatest((SELECT max(id) FROM {0}), $1)) \
         WHERE greatest((SELECT max(id) FROM {0}), $1) > 0",
        table.name
    );
    line.client.execute(&sql, &[&last]).await.map_err(said)?;
    Ok(())
}

/// One word for whoever follows the catalogue, in place of one a row.
async fn tell_of_everything(line: &Line) -> Result<(), StoreError> {
    let sql = "DELETE FROM catalog_pending WHERE xid = pg_current_xact_id(); \
               INSERT INTO catalog_pending (table_name, row_id) VALUES ('nodes', -1); \
               INSERT INTO catalog_commits DEFAULT VALUES ON CONFLICT DO NOTHING";
    line.client.batch_execute(sql).await.map_err(said)
}

async fn tally(line: &Line, table: &Table) -> Result<Tally, StoreError> {
    let mut asked = vec!["count(*)".to_owned()];
    asked.extend(
        table
            .summed()
            .map(|name| format!("count({name}), coalesce(sum({name}), 0)::text")),
    );
    let sql = format!("SELECT {} FROM {}", asked.join(", "), table.name);
    let row = line.client.query_one(&sql, &[]).await.map_err(said)?;
    let sum = |at: usize, name| {
        let sum: &str = row.try_get(2 + 2 * at).map_err(said)?;
        let sum = sum
            .parse()
            .map_err(|_| StoreError::Broken(format!("{sum} is no sum")))?;
        Ok((name, (row.try_get(1 + 2 * at).map_err(said)?, sum)))
    };
    Ok(Tally {
        rows: row.try_get(0).map_err(said)?,
        sums: table
            .summed()
            .enumerate()
            .map(|(at, name)| sum(at, name))
            .collect::<Result<_, StoreError>>()?,
    })
}

fn said(error: tokio_postgres::Error) -> StoreError {
    Fault::from(error).into_store_error()
}

/// A row that the target does not take will never be taken: no call later helps.
fn refused(table: &Table, fault: &Fault) -> StoreError {
    StoreError::Refused {
        field: table.name.to_owned(),
        message: format!("has a row that PostgreSQL does not take, nothing was moved: {fault}"),
    }
}
