//! Makers and extensions.

use core::fmt;

/// Whose a vendor ID is: a maker, or an extension that many makers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Family {
    /// RFC 3947 and its drafts.
    NatT,
    /// RFC 3706.
    Dpd,
    /// draft-beaulieu-ike-xauth.
    Xauth,
    /// Cisco's fragmentation of IKE messages.
    Fragmentation,
    /// Juniper's heartbeats and the draft of that name.
    Heartbeat,
    /// draft-ietf-ipsec-isakmp-gss-auth.
    GssApi,
    /// strongSwan.
    StrongSwan,
    /// Libreswan.
    Libreswan,
    /// Openswan, and FreeS/WAN before it.
    Openswan,
    /// racoon of KAME and ipsec-tools.
    Racoon,
    /// `OpenIKED`.
    OpenIked,
    /// Apple.
    Apple,
    /// Cisco: Unity, VPN 3000, ASA, IOS.
    Cisco,
    /// Microsoft.
    Microsoft,
    /// Fortinet.
    Fortinet,
    /// Juniper: NetScreen, `ScreenOS`.
    Juniper,
    /// Check Point.
    CheckPoint,
    /// Palo Alto Networks.
    PaloAlto,
    /// SonicWALL.
    SonicWall,
    /// Sophos, and Astaro before it.
    Sophos,
    /// WatchGuard.
    WatchGuard,
    /// Zyxel.
    Zyxel,
    /// The IKE toolkit of `SafeNet`, which others build into their products.
    SafeNet,
    /// `TheGreenBow`.
    GreenBow,
    /// Shrew Soft.
    Shrew,
    /// NCP.
    Ncp,
    /// Netgear.
    Netgear,
    /// Huawei.
    Huawei,
    /// SSH Communications Security: Sentinel, IPSEC Express, `QuickSec`.
    Ssh,
    /// Another maker: the name says which.
    Other,
}

impl Family {
    /// Every family.
    pub const ALL: &'static [Self] = &[
        Self::NatT,
        Self::Dpd,
        Self::Xauth,
        Self::Fragmentation,
        Self::Heartbeat,
        Self::GssApi,
        Self::StrongSwan,
        Self::Libreswan,
        Self::Openswan,
        Self::Racoon,
        Self::OpenIked,
        Self::Apple,
        Self::Cisco,
        Self::Microsoft,
        Self::Fortinet,
        Self::Juniper,
        Self::CheckPoint,
        Self::PaloAlto,
        Self::SonicWall,
        Self::Sophos,
        Self::WatchGuard,
        Self::Zyxel,
        Self::SafeNet,
        Self::GreenBow,
        Self::Shrew,
        Self::Ncp,
        Self::Netgear,
        Self::Huawei,
        Self::Ssh,
        Self::Other,
    ];

    /// The maker's or the extension's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NatT => "NAT-T",
            Self::Dpd => "DPD",
            Self::Xauth => "XAUTH",
            Self::Fragmentation => "IKE fragmentation",
            Self::Heartbeat => "heartbeat",
            Self::GssApi => "GSS-API",
            Self::StrongSwan => "strongSwan",
            Self::Libreswan => "Libreswan",
            Self::Openswan => "Openswan",
            Self::Racoon => "racoon",
            Self::OpenIked => "OpenIKED",
            Self::Apple => "Apple",
            Self::Cisco => "Cisco",
            Self::Microsoft => "Microsoft",
            Self::Fortinet => "Fortinet",
            Self::Juniper => "Juniper",
            Self::CheckPoint => "Check Point",
            Self::PaloAlto => "Palo Alto Networks",
            Self::SonicWall => "SonicWALL",
            Self::Sophos => "Sophos",
            Self::WatchGuard => "WatchGuard",
            Self::Zyxel => "Zyxel",
            Self::SafeNet => "SafeNet",
            Self::GreenBow => "TheGreenBow",
            Self::Shrew => "Shrew Soft",
            Self::Ncp => "NCP",
            Self::Netgear => "Netgear",
            Self::Huawei => "Huawei",
            Self::Ssh => "SSH Communications Security",
            Self::Other => "other",
        }
    }

    /// Makers whose products may send a vendor ID of this family, because they build on it.
    pub const fn also(self) -> &'static [Self] {
        match self {
            Self::StrongSwan => &[Self::Sophos, Self::Zyxel],
            Self::Racoon => &[Self::Apple, Self::PaloAlto],
            Self::SafeNet => &[Self::SonicWall, Self::WatchGuard],
            _ => &[],
        }
    }

    /// Whether it is an extension, which says nothing about the maker.
    pub const fn is_extension(self) -> bool {
        matches!(
            self,
            Self::NatT
                | Self::Dpd
                | Self::Xauth
                | Self::Fragmentation
                | Self::Heartbeat
                | Self::GssApi
        )
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
