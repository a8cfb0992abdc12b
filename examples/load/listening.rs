//! Services that decide little: two calls are answered by whoever serves, everything else is only taken.

use tonic::{Request, Response, Status, async_trait};

use super::bare::{
    ConfirmConfigAppliedRequest, ConfirmConfigAppliedResponse, GetLatestConfigRequest, GetLatestConfigResponse,
    HeartbeatRequest, HeartbeatResponse, ReportNodeStatsRequest, ReportNodeStatsResponse, ReportOnlineUsersRequest,
    ReportOnlineUsersResponse, ReportOutboundUsageRequest, ReportOutboundUsageResponse, ReportUsageRequest,
    ReportUsageResponse, node_service_server::NodeService,
};

/// What differs.
pub trait Decides: Send + Sync + 'static {
    /// Whether the node should pull its config.
    fn heartbeat(&self, request: Request<HeartbeatRequest>) -> impl Future<Output = Result<bool, Status>> + Send;

    /// Takes a usage report.
    fn usage(&self, request: Request<ReportUsageRequest>) -> impl Future<Output = Result<(), Status>> + Send;
}

/// See the module.
pub struct Listening<D>(pub D);

#[async_trait]
impl<D: Decides> NodeService for Listening<D> {
    async fn heartbeat(&self, request: Request<HeartbeatRequest>) -> Result<Response<HeartbeatResponse>, Status> {
        let need_sync = self.0.heartbeat(request).await?;
        Ok(Response::new(HeartbeatResponse { ok: true, need_sync }))
    }

    async fn report_usage(
        &self,
        request: Request<ReportUsageRequest>,
    ) -> Result<Response<ReportUsageResponse>, Status> {
        self.0.usage(request).await?;
        Ok(Response::new(ReportUsageResponse { ok: true, rejected: 0 }))
    }

    async fn report_outbound_usage(
        &self,
        _: Request<ReportOutboundUsageRequest>,
    ) -> Result<Response<ReportOutboundUsageResponse>, Status> {
        Ok(Response::new(ReportOutboundUsageResponse { ok: true, rejected: 0 }))
    }

    async fn get_latest_config(
        &self,
        _: Request<GetLatestConfigRequest>,
    ) -> Result<Response<GetLatestConfigResponse>, Status> {
        Ok(Response::new(GetLatestConfigResponse::default()))
    }

    async fn confirm_config_applied(
        &self,
        _: Request<ConfirmConfigAppliedRequest>,
    ) -> Result<Response<ConfirmConfigAppliedResponse>, Status> {
        Ok(Response::new(ConfirmConfigAppliedResponse { ok: true }))
    }

    async fn report_node_stats(
        &self,
        _: Request<ReportNodeStatsRequest>,
    ) -> Result<Response<ReportNodeStatsResponse>, Status> {
        Ok(Response::new(ReportNodeStatsResponse { ok: true }))
    }

    async fn report_online_users(
        &self,
        _: Request<ReportOnlineUsersRequest>,
    ) -> Result<Response<ReportOnlineUsersResponse>, Status> {
        Ok(Response::new(ReportOnlineUsersResponse { ok: true }))
    }
}
