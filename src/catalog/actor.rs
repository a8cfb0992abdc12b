//! The actor around the catalogue: one look at a time, whoever asks.

use std::{collections::HashMap, time::Duration};

use actix::{
    Actor, ActorFutureExt as _, AsyncContext as _, AtomicResponse, Context, Handler, Message, WrapFuture as _,
};

use crate::{
    model::{NodeId, SubscriptionId, Time, catalog_change::CatalogChange, node::NodeRecord, quota::Quota},
    store::StoreError,
};

use super::{
    follow::{Catalogue, Given},
    trial::Objection,
};

/// How often it looks: one number from the store, and a channel. A cut-off waits at most so long for its turn.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// See the module.
pub struct CatalogActor {
    /// Taken while a look is under way.
    catalogue: Option<Catalogue>,
    /// Whether the last look at the store failed: it is said once.
    away: bool,
}

impl CatalogActor {
    /// An actor around this catalogue.
    pub const fn new(catalogue: Catalogue) -> Self {
        Self {
            catalogue: Some(catalogue),
            away: false,
        }
    }

    /// Does something with the catalogue, and nothing else until it is done.
    fn alone<T, F>(&mut self, work: impl FnOnce(Catalogue) -> F) -> AtomicResponse<Self, Result<T, StoreError>>
    where
        T: 'static,
        F: Future<Output = (Catalogue, Result<T, StoreError>)> + 'static,
    {
        let catalogue = self
            .catalogue
            .take()
            .expect("the catalogue is taken only within one atomic response");
        AtomicResponse::new(Box::pin(work(catalogue).into_actor(self).map(
            |(catalogue, outcome), actor, _| {
                actor.catalogue = Some(catalogue);
                actor.note(outcome.as_ref().err());
                outcome
            },
        )))
    }

    fn note(&mut self, error: Option<&StoreError>) {
        match error {
            None if std::mem::take(&mut self.away) => tracing::info!("the catalogue follows the store again"),
            Some(error) if !std::mem::replace(&mut self.away, true) => {
                tracing::error!(%error, "the catalogue can't follow the store: nodes keep what they have");
            }
            None | Some(_) => {}
        }
    }
}

impl Actor for CatalogActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(LOOK_EVERY, |_, context| {
            if let Err(error) = context.address().try_send(Look) {
                tracing::debug!(%error, "the catalogue is busy: this look is left out");
            }
        });
    }
}

/// Follows the store.
#[derive(Message)]
#[rtype(result = "Result<(), StoreError>")]
pub struct Look;

impl Handler<Look> for CatalogActor {
    type Result = AtomicResponse<Self, Result<(), StoreError>>;

    fn handle(&mut self, _: Look, _: &mut Self::Context) -> Self::Result {
        self.alone(|mut catalogue| async move {
            let outcome = catalogue.look().await;
            (catalogue, outcome)
        })
    }
}

/// Loads what changed without waiting for quiet, and brings every node that it touches up to date.
#[derive(Message)]
#[rtype(result = "Result<(), StoreError>")]
pub struct Reload {
    /// Whether nodes are answered meanwhile: they need the processors, and cut-offs their turn.
    pub serving: bool,
}

impl Handler<Reload> for CatalogActor {
    type Result = AtomicResponse<Self, Result<(), StoreError>>;

    fn handle(&mut self, Reload { serving }: Reload, _: &mut Self::Context) -> Self::Result {
        self.alone(move |mut catalogue| async move {
            let outcome = catalogue.reload(serving).await;
            (catalogue, outcome)
        })
    }
}

/// A node that just registered: renders its config from what is known, and hands both on.
#[derive(Message)]
#[rtype(result = "Result<(), StoreError>")]
pub struct Welcome(pub NodeRecord);

impl Handler<Welcome> for CatalogActor {
    type Result = AtomicResponse<Self, Result<(), StoreError>>;

    fn handle(&mut self, Welcome(record): Welcome, _: &mut Self::Context) -> Self::Result {
        self.alone(|mut catalogue| async move {
            catalogue.welcome(record).await;
            (catalogue, Ok(()))
        })
    }
}

/// Asks whether these changes would leave something out of a config, and what. Nothing is changed.
#[derive(Message)]
#[rtype(result = "Result<Option<Objection>, StoreError>")]
pub struct Try(pub Vec<CatalogChange>);

impl Handler<Try> for CatalogActor {
    type Result = AtomicResponse<Self, Result<Option<Objection>, StoreError>>;

    fn handle(&mut self, Try(changes): Try, _: &mut Self::Context) -> Self::Result {
        self.alone(|mut catalogue| async move {
            let outcome = catalogue.catch_up(&changes).await;
            let outcome = outcome.map(|()| catalogue.try_changes(&changes));
            (catalogue, outcome)
        })
    }
}

/// A new period of a subscription began then.
#[derive(Message)]
#[rtype(result = "Result<(), StoreError>")]
pub struct WasReset(pub SubscriptionId, pub Time);

impl Handler<WasReset> for CatalogActor {
    type Result = AtomicResponse<Self, Result<(), StoreError>>;

    fn handle(&mut self, WasReset(subscription, at): WasReset, _: &mut Self::Context) -> Self::Result {
        self.alone(move |catalogue| async move {
            catalogue.was_reset(subscription, Some(at));
            (catalogue, Ok(()))
        })
    }
}

/// The store counted bytes that came by no report: so much it has counted now.
#[derive(Message)]
#[rtype(result = "Result<(), StoreError>")]
pub struct WereCounted(pub Vec<Quota>);

impl Handler<WereCounted> for CatalogActor {
    type Result = AtomicResponse<Self, Result<(), StoreError>>;

    fn handle(&mut self, WereCounted(quotas): WereCounted, _: &mut Self::Context) -> Self::Result {
        self.alone(move |catalogue| async move {
            let ledger = &catalogue.ledger;
            quotas
                .iter()
                .for_each(|quota| ledger.taken_over(quota.subscription, 0, Some(*quota)));
            (catalogue, Ok(()))
        })
    }
}

/// What nodes were given before the last stop.
#[derive(Message)]
#[rtype(result = "Result<(), StoreError>")]
pub struct Remember(pub HashMap<NodeId, Given>);

impl Handler<Remember> for CatalogActor {
    type Result = AtomicResponse<Self, Result<(), StoreError>>;

    fn handle(&mut self, Remember(given): Remember, _: &mut Self::Context) -> Self::Result {
        self.alone(|mut catalogue| async move {
            catalogue.remember(given);
            (catalogue, Ok(()))
        })
    }
}
