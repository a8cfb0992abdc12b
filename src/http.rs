//! The HTTP listeners: every route on one screen.

pub mod admin;
pub mod body;
mod calm;
pub mod error;
pub mod measure;
pub mod node;
pub mod openapi;
pub mod ops;
pub mod serve;
pub mod turns;

use std::{net::IpAddr, sync::Arc};

use actix_web::{
    App, Error, HttpRequest, Resource,
    body::MessageBody,
    dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::from_fn,
    web::{self, Data, delete, get, post, put, resource, scope},
};

use crate::auth::guard::Guard;

use error::{method_not_allowed, not_found};
use serve::Listener;

/// The node listener: `/node/*`, `/healthz`, `/readyz`.
pub fn node_server(listener: Listener, door: Arc<node::Door>, ops: Arc<ops::Ops>) -> std::io::Result<Server> {
    let (door, ops) = (Data::from(door), Data::from(ops));
    listener.serve(move || {
        App::new()
            .wrap(from_fn(turns::turns))
            .wrap(from_fn(measure::measure))
            .app_data(door.clone())
            .app_data(ops.clone())
            .service(
                scope("/node")
                    .service(only("/register").route(post().to(node::register)))
                    .service(only("/heartbeat").route(post().to(node::heartbeat)))
                    .service(only("/usage").route(post().to(node::usage)))
                    .service(only("/outbound-usage").route(post().to(node::outbound_usage)))
                    .service(only("/session-events").route(post().to(node::session_events)))
                    .service(only("/config/latest").route(get().to(node::latest_config)))
                    .service(only("/config/applied").route(post().to(node::config_applied)))
                    .service(only("/error").route(post().to(node::report_error))),
            )
            .service(only("/healthz").route(get().to(ops::healthz)))
            .service(only("/readyz").route(get().to(ops::readyz)))
            .default_service(web::to(not_found))
    })
}

/// The admin listener.
pub fn admin_server(listener: Listener, door: Arc<admin::Door>, ops: Arc<ops::Ops>) -> std::io::Result<Server> {
    listener.serve(move || admin_app(Arc::clone(&door), Arc::clone(&ops)))
}

/// What the admin listener serves: `/admin/*`, `/metrics`. It needs no listener to be called.
pub fn admin_app(
    door: Arc<admin::Door>,
    ops: Arc<ops::Ops>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    App::new()
        .wrap(from_fn(turns::turns))
        .wrap(from_fn(measure::measure))
        .app_data(Data::from(door))
        .app_data(Data::from(ops))
        .service(
            scope("/admin")
                .configure(admin_routes)
                .default_service(web::to(not_found)),
        )
        .service(only("/metrics").route(get().to(ops::metrics)))
        .default_service(web::to(not_found))
}

fn admin_routes(routes: &mut web::ServiceConfig) {
    use admin::{addresses, catalog, codes, events, live, nodes, online, records, rows, suspects, tokens};
    routes.service(only("/users/bulk").route(post().to(catalog::bulk)));
    routes.service(only("/openapi.json").route(get().to(openapi::openapi)));
    rows::Kind::ALL.into_iter().for_each(|kind| row_routes(routes, kind));
    routes
        .service(only("/users/{id}/usage").route(get().to(catalog::usage)))
        .service(only("/users/{id}/ips").route(get().to(addresses::list)))
        .service(only("/subscriptions/{id}/reset").route(post().to(catalog::reset)))
        .service(
            only("/protocols/{id}/links")
                .route(put().to(catalog::join))
                .route(delete().to(catalog::leave)),
        )
        .service(
            only("/registration-codes")
                .route(get().to(codes::list))
                .route(post().to(codes::create)),
        )
        .service(
            only("/registration-codes/{id}")
                .route(get().to(codes::one))
                .route(delete().to(codes::remove)),
        )
        .service(only("/nodes").route(get().to(nodes::list)))
        .service(
            only("/nodes/{id}")
                .route(get().to(nodes::one))
                .route(web::patch().to(nodes::patch))
                .route(delete().to(nodes::remove)),
        )
        .service(only("/nodes/{id}/runtime-status").route(get().to(live::runtime_status)))
        .service(only("/nodes/{id}/stats").route(get().to(live::stats)))
        .service(only("/nodes/{id}/errors").route(get().to(nodes::errors)))
        .service(only("/nodes/{id}/config").route(get().to(nodes::config)))
        .service(only("/nodes/{id}/config/retry").route(post().to(nodes::retry_config)))
        .service(
            only("/nodes/{id}/keys")
                .route(get().to(nodes::keys))
                .route(post().to(nodes::add_key)),
        )
        .service(
            only("/nodes/{id}/keys/{key}")
                .route(get().to(nodes::key))
                .route(delete().to(nodes::revoke_key)),
        )
        .service(only("/online").route(get().to(online::list)))
        .service(only("/events").route(get().to(events::events)))
        .service(
            only("/tokens")
                .route(get().to(tokens::list))
                .route(post().to(tokens::create)),
        )
        .service(
            only("/tokens/{id}")
                .route(get().to(tokens::one))
                .route(delete().to(tokens::remove)),
        )
        .service(only("/rejected").route(get().to(records::rejected)))
        .service(only("/suspect").route(get().to(suspects::list)))
        .service(only("/suspect/{id}/accept").route(post().to(suspects::accept)))
        .service(only("/suspect/{id}/void").route(post().to(suspects::void)))
        .service(only("/audit").route(get().to(records::audit)));
}

/// A collection below its owner, and its rows there and by themselves.
fn row_routes(routes: &mut web::ServiceConfig, kind: admin::rows::Kind) {
    use admin::rows;
    let own = kind.path();
    let collection = kind
        .owner()
        .map_or_else(|| format!("/{own}"), |(owner, _)| format!("/{owner}/{{parent}}/{own}"));
    let mut places = vec![format!("{collection}/{{id}}"), format!("/{own}/{{id}}")];
    places.dedup();
    routes.service(
        only(&collection)
            .route(get().to(move |door, request| rows::list(kind, door, request)))
            .route(post().to(move |door, request, payload| rows::create(kind, door, request, payload))),
    );
    for place in places {
        routes.service(
            only(&place)
                .route(get().to(move |door, request| rows::one(kind, door, request)))
                .route(web::patch().to(move |door, request, payload| rows::patch(kind, door, request, payload)))
                .route(delete().to(move |door, request| rows::remove(kind, door, request))),
        );
    }
}

/// The address that a call came from.
fn from(guard: &Guard, request: &HttpRequest) -> IpAddr {
    let peer = request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
    let forwarded: Vec<&str> = request
        .headers()
        .get_all("x-forwarded-for")
        .filter_map(|line| line.to_str().ok())
        .collect();
    guard.caller(peer, forwarded.into_iter())
}

/// A route that answers other methods with 405.
fn only(path: &str) -> Resource {
    resource(path.to_owned()).default_service(web::to(method_not_allowed))
}
