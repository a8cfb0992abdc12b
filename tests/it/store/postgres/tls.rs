//! The way to the database is as secret as the address says.

use vpn_core::store::{
    Store as _, StoreError,
    postgres::{Address, PostgresStore},
};

use crate::harness::{authority::Authority, postgres::Server};

/// What becomes of a connection with this query in its URL.
async fn ping(server: &Server, query: &str) -> Result<(), StoreError> {
    let url = format!("{}?{query}", server.url());
    let store = PostgresStore::new(&Address::new(&url.into(), "core").unwrap()).unwrap();
    store.ping().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_looked_at_as_the_address_says() {
    let (ours, others) = (Authority::new(), Authority::new());
    let mut server = Server::start().await;
    server.stop().await;
    let (certificate, key) = ours.sign("127.0.0.1");
    server.offer_tls(&certificate, &key);
    server.restart().await;
    let folder = tempfile::tempdir().unwrap();
    let root = |name: &str, authority: &Authority| {
        let path = folder.path().join(name);
        std::fs::write(&path, &authority.pem).unwrap();
        path.display().to_string()
    };
    let (trusted, stranger) = (root("ours.pem", &ours), root("others.pem", &others));
    for good in [
        "sslmode=require".to_owned(),
        "sslmode=prefer".to_owned(),
        format!("sslmode=verify-ca&sslrootcert={trusted}"),
        format!("sslmode=verify-full&sslrootcert={trusted}"),
    ] {
        ping(&server, &good)
            .await
            .unwrap_or_else(|error| panic!("{good}: {error}"));
    }
    for bad in [
        "sslmode=verify-full".to_owned(),
        format!("sslmode=verify-ca&sslrootcert={stranger}"),
        format!("sslmode=verify-full&sslrootcert={stranger}"),
    ] {
        let outcome = ping(&server, &bad).await;
        assert!(matches!(outcome, Err(StoreError::Away(_))), "{bad}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_hosts_certificate_is_good_for_verify_ca_only() {
    let ours = Authority::new();
    let mut server = Server::start().await;
    server.stop().await;
    let (certificate, key) = ours.sign("db.example.test");
    server.offer_tls(&certificate, &key);
    server.restart().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ours.pem");
    std::fs::write(&path, &ours.pem).unwrap();
    let root = path.display();
    ping(&server, &format!("sslmode=verify-ca&sslrootcert={root}"))
        .await
        .unwrap();
    let strict = ping(&server, &format!("sslmode=verify-full&sslrootcert={root}")).await;
    assert!(matches!(strict, Err(StoreError::Away(_))), "{strict:?}");
}
