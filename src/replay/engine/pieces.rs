//! IKEv1 messages that come in Cisco's fragments.

use vpnscope_dissectors::ike;

use super::Replayer;
use crate::assemble::messages::cisco_ike;
use crate::assemble::tcp::blank_envelope;
use crate::decap::Flow;
use crate::replay::conversation::{Channel, Protocol};
use crate::time::Timestamp;

impl Replayer {
    /// Puts the pieces of an IKEv1 message together: `None` while some are missing, an error
    /// where it is no piece.
    pub(super) fn joined(
        &mut self,
        now: Timestamp,
        channel: Channel,
        octets: &[u8],
    ) -> Result<Option<Vec<u8>>, ()> {
        if self.recording.protocol != Protocol::Ikev1 {
            return Err(());
        }
        let piece = ike::Message::parse(octets).map_err(|_| ())?;
        cisco_ike::fragment(&piece).ok_or(())?;
        let ends = self.ends(channel);
        let flow = Flow {
            source: (ends.peer.ip(), ends.peer.port()),
            destination: (ends.local.ip(), ends.local.port()),
        };
        let envelope = blank_envelope(0, &flow, now, 17);
        let whole = self.pieces.handle(&envelope, &[0], &piece);
        Ok(whole.map(|whole| whole.octets))
    }
}
