//! What only one instance may do.

use std::time::Duration;

use super::{
    place::Place,
    world::{in_each_place, on_each, second},
};

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_lease_has_one_owner_until_he_gives_it_back() {
    on_each(|store| async move {
        let take = async |job, owner, at| store.take_lease(job, owner, second(at), MINUTE).await.unwrap();
        assert!(take("a", "one", 0).await);
        assert!(take("a", "one", 1).await, "his own is prolonged");
        assert!(!take("a", "two", 2).await);
        assert!(take("b", "two", 2).await, "another job is another lease");
        store.release_lease("a", "two").await.unwrap();
        assert!(!take("a", "two", 3).await, "who has it not can't give it back");
        store.release_lease("a", "one").await.unwrap();
        store.release_lease("a", "one").await.unwrap();
        assert!(take("a", "two", 4).await);
        assert!(!take("a", "one", 5).await);
    })
    .await;
}

#[tokio::test]
async fn a_lease_whose_time_is_over_is_free() {
    in_each_place(|place| async move {
        let store = place.open();
        store.migrate().await.unwrap();
        assert!(store.take_lease("a", "one", second(0), MINUTE).await.unwrap());
        assert!(store.take_lease("a", "one", second(30), MINUTE).await.unwrap());
        // The embedded store goes by the time that is said, PostgreSQL by its own: there another instance's clock moves nothing.
        if let Place::Sqlite(_) = &*place {
            assert!(!store.take_lease("a", "two", second(89), MINUTE).await.unwrap());
            assert!(store.take_lease("a", "two", second(90), MINUTE).await.unwrap());
            return;
        }
        assert!(!store.take_lease("a", "two", second(1_000_000), MINUTE).await.unwrap());
        place
            .run("UPDATE job_leases SET until = clock_timestamp() - interval '1 millisecond'")
            .await;
        assert!(store.take_lease("a", "two", second(0), MINUTE).await.unwrap());
        assert!(!store.take_lease("a", "one", second(0), MINUTE).await.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_ask_at_once_one_has_it() {
    in_each_place(|place| async move {
        place.open().migrate().await.unwrap();
        let asking = (0..8).map(|number| {
            let store = place.open();
            async move {
                let owner = format!("instance {number}");
                store.take_lease("a", &owner, second(0), MINUTE).await.unwrap()
            }
        });
        let answers = futures_util::future::join_all(asking).await;
        assert_eq!(answers.iter().filter(|is_mine| **is_mine).count(), 1);
    })
    .await;
}
