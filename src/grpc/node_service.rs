//! `nodeservice.NodeService`: let in, convert, call, answer.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderName};
use tonic::{Request, Response, Status, async_trait, metadata::MetadataMap};

use crate::{
    auth::{Authenticator, Caller, limits::Call},
    clock::Clock,
    node::{ConfirmApplied, Receipt, registry::Nodes},
    proto::nodeservice::{
        ConfirmConfigAppliedRequest, ConfirmConfigAppliedResponse, GetLatestConfigRequest, GetLatestConfigResponse,
        HeartbeatRequest, HeartbeatResponse, ReportNodeStatsRequest, ReportNodeStatsResponse, ReportOnlineUsersRequest,
        ReportOnlineUsersResponse, ReportOutboundUsageRequest, ReportOutboundUsageResponse, ReportUsageRequest,
        ReportUsageResponse, node_service_server::NodeService,
    },
};

use super::convert;

/// Names that are read once: to read them at every call would cost as much as to look them up.
const AUTH_KEY: HeaderName = HeaderName::from_static("x-node-auth-key");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("x-idempotency-key");

/// The service, as one connection has it.
pub struct Service {
    auth: Arc<Authenticator>,
    nodes: Nodes,
    clock: Clock,
    peer: IpAddr,
}

impl Service {
    /// The service over these nodes, for who calls from this address.
    pub const fn new(auth: Arc<Authenticator>, nodes: Nodes, clock: Clock, peer: IpAddr) -> Self {
        Self {
            auth,
            nodes,
            clock,
            peer,
        }
    }

    /// The metadata decides when it has a key, else the field of the request.
    async fn caller(&self, metadata: &MetadataMap, field: &str, call: Call) -> Result<Caller, Status> {
        let key = text(metadata, &AUTH_KEY).unwrap_or(field);
        let headers: &HeaderMap = metadata.as_ref();
        let forwarded = headers.get_all(&FORWARDED_FOR).iter();
        let forwarded = forwarded.filter_map(|line| line.to_str().ok());
        let from = self.auth.guard().caller(self.peer, forwarded);
        Ok(self.auth.admit(key, from, call).await?)
    }
}

/// A non-empty text of the metadata.
fn text<'a>(metadata: &'a MetadataMap, name: &HeaderName) -> Option<&'a str> {
    let headers: &HeaderMap = metadata.as_ref();
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .filter(|value| !value.is_empty())
}

fn idempotency_key(metadata: &MetadataMap) -> Option<&str> {
    text(metadata, &IDEMPOTENCY_KEY)
}

fn rejected(receipt: &Receipt) -> i32 {
    i32::try_from(receipt.rejected).unwrap_or(i32::MAX)
}

#[async_trait]
impl NodeService for Service {
    async fn heartbeat(&self, request: Request<HeartbeatRequest>) -> Result<Response<HeartbeatResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let caller = self.caller(&metadata, &request.auth_key, Call::Heartbeat).await?;
        let need_sync = self.nodes.heartbeat(caller.node, convert::heartbeat(&request)).await?;
        Ok(Response::new(HeartbeatResponse { ok: true, need_sync }))
    }

    async fn report_usage(
        &self,
        request: Request<ReportUsageRequest>,
    ) -> Result<Response<ReportUsageResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let caller = self.caller(&metadata, &request.auth_key, Call::Usage).await?;
        let report = convert::usage(idempotency_key(&metadata), request.entries);
        let receipt = self.nodes.usage(caller.node, report).await?;
        Ok(Response::new(ReportUsageResponse {
            ok: true,
            rejected: rejected(&receipt),
        }))
    }

    async fn report_outbound_usage(
        &self,
        request: Request<ReportOutboundUsageRequest>,
    ) -> Result<Response<ReportOutboundUsageResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let caller = self.caller(&metadata, &request.auth_key, Call::OutboundUsage).await?;
        let report = convert::outbound_usage(idempotency_key(&metadata), request.items);
        let receipt = self.nodes.outbound_usage(caller.node, report).await?;
        Ok(Response::new(ReportOutboundUsageResponse {
            ok: true,
            rejected: rejected(&receipt),
        }))
    }

    async fn get_latest_config(
        &self,
        request: Request<GetLatestConfigRequest>,
    ) -> Result<Response<GetLatestConfigResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let caller = self.caller(&metadata, &request.auth_key, Call::Config).await?;
        let config = self.nodes.config(caller.node).await?;
        let rendered = config.rendered();
        let mut response = Response::new(GetLatestConfigResponse {
            revision: config.revision(),
            client_map_json: rendered.client_map,
            mtproto_client_map_json: rendered.mtproto_client_map,
            services_json: rendered.services,
        });
        for (name, hash) in [
            ("x-core-structure-hash", config.structure()),
            ("x-core-users-hash", config.users()),
        ] {
            if let Ok(hash) = hash.to_string().parse() {
                response.metadata_mut().insert(name, hash);
            }
        }
        Ok(response)
    }

    async fn confirm_config_applied(
        &self,
        request: Request<ConfirmConfigAppliedRequest>,
    ) -> Result<Response<ConfirmConfigAppliedResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let caller = self.caller(&metadata, &request.auth_key, Call::Applied).await?;
        if request.revision < 0 {
            return Err(Status::invalid_argument("revision must not be negative"));
        }
        self.nodes
            .confirm_applied(
                caller.node,
                ConfirmApplied {
                    revision: request.revision,
                },
            )
            .await?;
        Ok(Response::new(ConfirmConfigAppliedResponse { ok: true }))
    }

    async fn report_node_stats(
        &self,
        request: Request<ReportNodeStatsRequest>,
    ) -> Result<Response<ReportNodeStatsResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let caller = self.caller(&metadata, &request.auth_key, Call::Stats).await?;
        self.nodes.stats(caller.node, convert::stats(&request)?).await?;
        Ok(Response::new(ReportNodeStatsResponse { ok: true }))
    }

    async fn report_online_users(
        &self,
        request: Request<ReportOnlineUsersRequest>,
    ) -> Result<Response<ReportOnlineUsersResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let caller = self.caller(&metadata, &request.auth_key, Call::Online).await?;
        self.nodes
            .online(caller.node, convert::online(request.users, self.clock.now()))
            .await?;
        Ok(Response::new(ReportOnlineUsersResponse { ok: true }))
    }
}
