//! Who tells where users' addresses are, by the settings.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use crate::{
    config::{IpInfoProvider, Settings},
    jobs::ip_info::IpInfoJob,
    model::finding::Finding,
    providers::{Provider, ip_api::IpApi, ipinfo::IpInfo},
};

use super::Ground;

/// The provider of the settings; none if nobody is asked.
pub(super) fn provider(settings: &Settings) -> anyhow::Result<Option<Arc<dyn Provider>>> {
    settings.check()?;
    Ok(match (settings.ip_info_provider, settings.ipinfo_token.as_ref()) {
        (IpInfoProvider::IpApi, _) => {
            let made = IpApi::new(&settings.ip_api_url).map_err(|why| anyhow!(why));
            Some(Arc::new(made.context("IP_API_URL can't be used")?))
        }
        (IpInfoProvider::Ipinfo, Some(token)) => {
            let made = IpInfo::new(&settings.ipinfo_url, token.clone()).map_err(|why| anyhow!(why));
            Some(Arc::new(made.context("IPINFO_URL can't be used")?))
        }
        (IpInfoProvider::Off | IpInfoProvider::Ipinfo, _) => None,
    })
}

/// The job that asks it.
pub(super) fn job(provider: Arc<dyn Provider>, ground: &Ground, instance: &str) -> IpInfoJob {
    IpInfoJob::new(
        Arc::clone(&ground.store),
        provider,
        ground.clock.clone(),
        instance.to_owned(),
    )
}

/// What an operator should know of it. Nobody is asked for it, and of an address only its host is told.
pub(super) fn finding(settings: &Settings) -> Finding {
    match settings.ip_info_provider {
        IpInfoProvider::Off => Finding::ok("users' addresses are not looked up: IP_INFO_PROVIDER is off"),
        IpInfoProvider::IpApi => {
            let host = settings.ip_api_url.host_str().unwrap_or_default();
            Finding::ok(format!("users' addresses are looked up at {host} (ip-api)"))
        }
        IpInfoProvider::Ipinfo if settings.ipinfo_token.is_none() => Finding::bad(
            "IP_INFO_PROVIDER is ipinfo, and there is no token for it",
            "Set IPINFO_TOKEN, or IP_INFO_PROVIDER to ip-api or off.",
        ),
        IpInfoProvider::Ipinfo => {
            let host = settings.ipinfo_url.host_str().unwrap_or_default();
            if settings.ipinfo_url.scheme() == "https" {
                return Finding::ok(format!(
                    "users' addresses are looked up at {host} (ipinfo), with a token"
                ));
            }
            Finding::warn(
                format!("users' addresses are looked up at {host} (ipinfo), and the token goes there in clear text"),
                "Set IPINFO_URL to an https address, unless it is a proxy on this machine.",
            )
        }
    }
}
