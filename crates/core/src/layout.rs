//! Layout: where each environment's ports and Unix ids lie, derived from one small number.
//!
//! Every environment holds a *slot*, given once and kept until it is destroyed. All derived numbers
//! are arithmetic on the slot, so they exist in one place and never collide.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::role::Role;
use crate::workload::UserSpec;

/// The small number an environment's ports and Unix ids are derived from. Slot 0 is the estate's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Slot(pub u16);

/// First port of the block that slots divide; ports are bound to loopback only.
pub const PORT_BASE: u16 = 21_000;
/// Ports per slot.
pub const PORTS_PER_SLOT: u16 = 10;
/// First Unix id; above Debian's dynamic users (61184-65519) and container sub-ids (100000-165535).
pub const ID_BASE: u32 = 2_100_000;
/// Unix ids per slot.
pub const IDS_PER_SLOT: u32 = 20;
/// Highest slot whose ports still fit below 65536.
pub const LAST_SLOT: u16 = (u16::MAX - PORT_BASE) / PORTS_PER_SLOT - 1;

impl Slot {
    /// The slot of the estate's own workloads.
    pub const ESTATE: Slot = Slot(0);

    /// Port of a role in this slot; `None` for roles that listen on nothing.
    ///
    /// `web`, `jobs` and `notice` speak HTTP, `live` the event protocol, `postgres` and `pooler`
    /// SQL; of the `proxy` this is its administration port. None either beyond [`LAST_SLOT`].
    pub const fn port(self, role: Role) -> Option<u16> {
        let offset = match role {
            Role::Postgres => 0,
            Role::Pooler => 1,
            Role::Web => 2,
            Role::Live => 3,
            Role::Jobs => 4,
            Role::Notice => 5,
            Role::Proxy => 6,
            // Sessions are on a Unix socket only.
            Role::Cron | Role::Sessions => return None,
        };
        self.numbered(offset)
    }

    /// Further port of a role: `live`, `cron` and `jobs` run prefork or gevent servers that want a
    /// second one (`http_port` of the gevent process, `gevent_port` of the jobs pool).
    pub const fn spare_port(self, role: Role) -> Option<u16> {
        let offset = match role {
            Role::Web => 7,
            Role::Live => 8,
            Role::Jobs => 9,
            _ => return None,
        };
        self.numbered(offset)
    }

    /// A port of this slot by its number within the slot, if ports reach that far.
    const fn numbered(self, offset: u16) -> Option<u16> {
        if self.0 > LAST_SLOT { None } else { Some(PORT_BASE + self.0 * PORTS_PER_SLOT + offset) }
    }

    /// The slot that a Unix id belongs to, if it is one of Springtide's.
    pub const fn of_id(id: u32) -> Option<Slot> {
        match id.checked_sub(ID_BASE) {
            Some(above) if above / IDS_PER_SLOT <= LAST_SLOT as u32 => Some(Slot((above / IDS_PER_SLOT) as u16)),
            _ => None,
        }
    }

    /// Group shared by an environment's roles.
    pub const fn group(self) -> u32 {
        ID_BASE + self.0 as u32 * IDS_PER_SLOT
    }

    /// User and group of a role in this slot.
    pub const fn user(self, role: Role) -> UserSpec {
        let offset = match role {
            Role::Postgres => 1,
            Role::Pooler => 2,
            Role::Web => 3,
            Role::Live => 4,
            Role::Cron => 5,
            Role::Jobs => 6,
            Role::Notice => 7,
            Role::Proxy => 8,
            // 9 is the installer's.
            Role::Sessions => 10,
        };
        UserSpec { uid: self.group() + offset, gid: self.group() }
    }

    /// Odoo process that installs modules, apart from the running roles.
    pub const fn installer(self) -> UserSpec {
        UserSpec { uid: self.group() + 9, gid: self.group() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ports_and_ids_never_collide() {
        let mut ports = BTreeSet::new();
        let mut uids = BTreeSet::new();
        for slot in (0..40).chain([LAST_SLOT]).map(Slot) {
            for role in Role::ENVIRONMENT.into_iter().chain(Role::ESTATE) {
                for port in [slot.port(role), slot.spare_port(role)].into_iter().flatten() {
                    assert!(ports.insert(port), "{slot:?} {role} port {port}");
                }
                assert!(uids.insert(slot.user(role).uid), "{slot:?} {role}");
            }
            assert!(uids.insert(slot.installer().uid), "{slot:?} installer");
        }
    }

    #[test]
    fn ports_end_at_the_last_slot_and_ids_do_not() {
        for role in Role::ENVIRONMENT {
            let listens = !matches!(role, Role::Cron | Role::Sessions);
            assert_eq!(Slot(LAST_SLOT).port(role).is_some(), listens, "{role}");
            for beyond in [LAST_SLOT + 1, u16::MAX] {
                assert_eq!((Slot(beyond).port(role), Slot(beyond).spare_port(role)), (None, None), "{role}");
            }
        }
        assert!(Slot(u16::MAX).installer().uid > Slot(LAST_SLOT).installer().uid);
    }
}
