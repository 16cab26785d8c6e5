//! Giving up root: the user a program becomes, and the one right it may keep.
//!
//! A workload that is given a port below 1024 keeps the right to bind such ports, and nothing else
//! of root's: as an ambient capability, since only those outlive exec for a user who is not root.
//! The machine's own threshold (`ip_unprivileged_port_start`) stays as it is; it is everybody's.

use nix::errno::Errno;
use nix::libc;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use springtide_core::workload::{UserSpec, WorkloadSpec};

/// First port that every user may bind.
const FREE_PORTS: u16 = 1024;
/// Number of CAP_NET_BIND_SERVICE.
const BIND: u32 = 10;

/// Who a program is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    /// User and group.
    pub user: UserSpec,
    /// Bits taken from new files.
    pub umask: u32,
    /// Whether it may bind ports below 1024.
    pub low_ports: bool,
}

/// Whether a workload needs the right to bind low ports.
pub(crate) fn low_ports(spec: &WorkloadSpec) -> bool {
    spec.ports.values().any(|port| *port < FREE_PORTS)
}

impl Identity {
    /// Becomes it, for good.
    pub fn assume(self) -> Result<(), String> {
        let step = |what: &'static str| move |error: Errno| format!("{what}: {error}");
        umask(Mode::from_bits_truncate(self.umask));
        let (uid, gid) = (Uid::from_raw(self.user.uid), Gid::from_raw(self.user.gid));
        setgroups(&[gid]).map_err(step("set groups"))?;
        setgid(gid).map_err(step("set group"))?;
        if self.low_ports {
            nix::sys::prctl::set_keepcaps(true).map_err(step("keep capabilities"))?;
        }
        setuid(uid).map_err(step("set user"))?;
        if self.low_ports {
            keep_only_bind().map_err(step("keep the right to bind low ports"))?;
        }
        nix::sys::prctl::set_no_new_privs().map_err(step("set no_new_privs"))
    }
}

/// Drops every capability but one, and hands that one down through exec.
fn keep_only_bind() -> Result<(), Errno> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    // _LINUX_CAPABILITY_VERSION_3: two words of 32 capabilities each.
    let header = Header { version: 0x2008_0522, pid: 0 };
    let (bind, none) = (1 << BIND, 0);
    let words = [
        Data { effective: bind, permitted: bind, inheritable: bind },
        Data { effective: none, permitted: none, inheritable: none },
    ];
    // SAFETY: both point to live values laid out as capset(2) wants them; it only reads them.
    #[allow(unsafe_code)]
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw const header, words.as_ptr()) })?;
    // SAFETY: plain integers, as wide as the kernel reads them.
    #[allow(unsafe_code)]
    let raised = unsafe {
        let (raise, bind, none) = (libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong, libc::c_ulong::from(BIND), 0);
        libc::prctl(libc::PR_CAP_AMBIENT, raise, bind, none as libc::c_ulong, none as libc::c_ulong)
    };
    Errno::result(raised).map(drop)
}
