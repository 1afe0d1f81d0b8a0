//! A host joins with a token and gets a certificate, as `stayhand-agent join` does, and keeps it in memory.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result};
use stayhand_guardrail::id::HostId;
use stayhand_proto::{
    convert::name,
    v1::{JoinRequest, join_service_client::JoinServiceClient},
};
use stayhand_transport::{
    Authorities, Credentials, Dialled, Dialling, JoinToken, Key, Occasion, Proof, dial, joining,
    member,
};

/// Addresses of the last byte that are used, and so of the byte before.
const PER_BYTE: u32 = 250;

/// The name of a host.
pub(crate) fn name_of(index: u32) -> Result<HostId> {
    Ok(HostId::new(format!("h{index:05}"))?)
}

/// Every host has a loopback address of its own, because the control plane bounds what one address may do at once.
pub(crate) fn address_of(index: u32) -> Result<IpAddr> {
    let byte = |number: u32| u8::try_from(number % PER_BYTE + 1);
    let (a, b, c) = (index / (PER_BYTE * PER_BYTE), index / PER_BYTE, index);
    Ok(Ipv4Addr::new(127, byte(a)?, byte(b)?, byte(c)?).into())
}

/// Joins; how the host dials from then on.
pub(crate) async fn join(index: u32, control: &str, token: &JoinToken) -> Result<Dialling> {
    let (host, source) = (name_of(index)?, address_of(index)?);
    let Dialled {
        channel,
        connection,
    } = dial(control, joining(token.pin)?.from(source)).await?;
    let (bound, key) = (Key::generate()?, Key::generate()?);
    let request = key.request()?;
    let proof = Proof {
        occasion: Occasion::Join,
        connection: &connection,
        host: &host,
        request: &request,
    };
    let ask = JoinRequest {
        token: name::join_token(token.id),
        secret: token.secret.reveal().to_vec(),
        host: name::host(&host),
        proof: proof.sign(&bound)?,
        bound_key: bound.public(),
        certificate_request: request,
    };
    let joined = JoinServiceClient::new(channel).join(ask).await?;
    let issued = joined.into_inner().issued.context("nothing was issued")?;
    let credentials = Credentials {
        certificate: issued.certificate,
        key,
    };
    let authorities = Authorities::new(issued.authorities)?;
    Ok(member(authorities, &credentials)?.from(source))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_host_has_an_address_and_a_name_of_its_own_and_none_is_the_control_planes() {
        let addresses: BTreeSet<IpAddr> = (0..200_000).map(|i| address_of(i).unwrap()).collect();
        let names: BTreeSet<HostId> = (0..200_000).map(|i| name_of(i).unwrap()).collect();
        assert_eq!((addresses.len(), names.len()), (200_000, 200_000));
        assert!(addresses.iter().all(IpAddr::is_loopback));
        assert!(!addresses.contains(&Ipv4Addr::LOCALHOST.into()));
    }
}
