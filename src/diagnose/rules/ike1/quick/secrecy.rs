//! Perfect forward secrecy, by the size of quick mode 1.

use crate::diagnose::Finding;
use crate::diagnose::ike1::Story;

/// What the size of quick mode 1 says about perfect forward secrecy.
pub(super) fn secrecy(story: &Story<'_>, length: u32, mut finding: Finding) -> Finding {
    match (
        story.has_room_for_key(length),
        story.has_room_for_phase1_group(length),
    ) {
        (Some(false), _) => {
            finding.summary.push_str(" The request has no room for a key exchange: it offers no perfect forward secrecy, and is refused where that is required.");
            finding.candidates(&["pfs-mismatch"])
        }
        (_, Some(false)) => {
            finding.summary.push_str(" The request has no room for a key exchange of the group of phase 1: if it offers perfect forward secrecy at all, then with a smaller one.");
            finding.candidates(&["pfs-mismatch"])
        }
        (Some(true), _) => {
            finding.summary.push_str(" The request has room for a key exchange: perfect forward secrecy may be offered, and is refused only where another group is required.");
            finding.candidates(&["pfs-mismatch"])
        }
        (None, _) => finding.candidates(&["pfs-mismatch"]),
    }
}
