//! The bare server: tonic, the same messages, the same layout, and no logic.

use std::net::TcpListener;

use futures_util::StreamExt as _;
use tokio::{net::TcpStream, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, async_trait, transport::Server};
use vpn_core::proto::nodeservice::{
    ConfirmConfigAppliedRequest, ConfirmConfigAppliedResponse, GetLatestConfigRequest, GetLatestConfigResponse,
    HeartbeatRequest, HeartbeatResponse, ReportNodeStatsRequest, ReportNodeStatsResponse, ReportOnlineUsersRequest,
    ReportOnlineUsersResponse, ReportOutboundUsageRequest, ReportOutboundUsageResponse, ReportUsageRequest,
    ReportUsageResponse,
    node_service_server::{NodeService, NodeServiceServer},
};

/// Connections that may wait for a thread.
const BACKLOG: usize = 1_024;

struct Control;

#[async_trait]
impl NodeService for Control {
    async fn heartbeat(&self, _: Request<HeartbeatRequest>) -> Result<Response<HeartbeatResponse>, Status> {
        Ok(Response::new(HeartbeatResponse {
            ok: true,
            need_sync: true,
        }))
    }

    async fn report_usage(&self, _: Request<ReportUsageRequest>) -> Result<Response<ReportUsageResponse>, Status> {
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

/// Serves until it is killed.
pub fn serve(listener: &TcpListener) -> anyhow::Result<()> {
    let shards = std::thread::available_parallelism()?.get();
    let mut doors = Vec::new();
    for _ in 0..shards {
        let (door, connections) = mpsc::channel(BACKLOG);
        doors.push(door);
        std::thread::spawn(move || shard(connections));
    }
    for (turn, stream) in listener.incoming().enumerate() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        doors[turn % shards].blocking_send(stream)?;
    }
    Ok(())
}

fn shard(connections: mpsc::Receiver<std::net::TcpStream>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async move {
        Server::builder()
            .add_service(NodeServiceServer::new(Control))
            .serve_with_incoming(ReceiverStream::new(connections).map(TcpStream::from_std))
            .await
            .unwrap();
    });
}
