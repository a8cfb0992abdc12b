//! No statement looks through a list once for each line of another one, not even when PostgreSQL plans it without its values and takes every list for
//! a short one: 10,000 nodes would be 100,000,000 comparisons.

use std::path::Path;

use serde_json::Value;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::store_in;
use crate::{
    harness::{
        catalogue::catalogue,
        postgres::{Database, connect},
    },
    store::world::by,
};

/// What gives all that it has each time it is asked, whatever is looked for.
const LISTS: [&str; 3] = ["Function Scan", "CTE Scan", "Materialize"];

#[tokio::test]
async fn no_list_is_looked_through_for_each_line_of_another() {
    let database = Database::fresh().await;
    let store = store_in(&database).await;
    let import = serde_json::from_value(catalogue(1_000, 10)).unwrap();
    store.import(&import, &by("test")).await.unwrap();
    let client = connect(&database.url()).await;
    let seen = "SET search_path = core; \
        INSERT INTO user_ips (user_id, ip, first_seen_at, last_seen_at) \
        SELECT users.id, '192.0.2.0'::inet + number, now(), now() FROM users CROSS JOIN generate_series(1, 200) AS number; \
        ANALYZE";
    client.batch_execute(seen).await.unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/queries/postgres");
    let (mut planned, mut repeating) = (0, Vec::new());
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let sql = std::fs::read_to_string(&path).unwrap();
        if sql.contains("unnest") {
            let plan = plan(&client, &sql).await;
            planned += 1;
            if repeats(&plan) {
                repeating.push(format!("{}: {plan:#}", path.display()));
            }
        }
    }
    assert!(repeating.is_empty(), "{}", repeating.join("\n"));
    assert!(planned >= 20, "{planned} statements take lists");
}

#[tokio::test]
async fn a_list_that_is_looked_through_again_and_again_is_seen() {
    let database = Database::fresh().await;
    let client = connect(&database.url()).await;
    let lists = "unnest($1::bigint[]) AS one (id) CROSS JOIN unnest($2::bigint[]) AS other (id)";
    let all = plan(&client, &format!("SELECT * FROM {lists}")).await;
    assert!(!repeats(&all), "{all:#}");
    let some = plan(&client, &format!("SELECT * FROM {lists} WHERE one.id < other.id")).await;
    assert!(repeats(&some), "{some:#}");
}

/// The plan that does not know the values.
async fn plan(client: &Client, sql: &str) -> Value {
    let prepare = format!("SET plan_cache_mode = force_generic_plan; DEALLOCATE ALL; PREPARE planned AS {sql}");
    client.batch_execute(&prepare).await.unwrap();
    let count = "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'planned'";
    let count = word(client, count).await.parse().unwrap();
    let values = vec!["NULL"; count].join(", ");
    let explained = format!("EXPLAIN (FORMAT JSON, COSTS OFF) EXECUTE planned({values})");
    serde_json::from_str(&word(client, &explained).await).unwrap()
}

/// The first of what it gives.
async fn word(client: &Client, sql: &str) -> String {
    let rows = client.simple_query(sql).await.unwrap();
    let first = rows.iter().find_map(|it| match it {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    first.unwrap().to_owned()
}

/// Whether a loop within this compares each line of one side with each of a list. All pairs that are wanted are no comparison.
fn repeats(plan: &Value) -> bool {
    let below = |plan: &Value| plan.as_object().is_some_and(|it| it.values().any(repeats));
    let list = plan["Join Filter"].is_string()
        && plan["Plans"]
            .as_array()
            .is_some_and(|sides| sides.iter().any(inner_list));
    match plan {
        Value::Array(all) => all.iter().any(repeats),
        _ => list || below(plan),
    }
}

fn inner_list(side: &Value) -> bool {
    side["Parent Relationship"] == "Inner" && LISTS.iter().any(|it| side["Node Type"] == *it)
}
