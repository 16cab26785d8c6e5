//! Roles: the parts one environment is made of, and the two parts the whole estate shares.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A part of an environment or of the estate that runs as its own workload.
///
/// The order is the order of starting: data tier, then Odoo, then what faces users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The PostgreSQL server of an environment.
    Postgres,
    /// PgBouncer in front of it.
    Pooler,
    /// Redis, which holds the sessions of logged-in people.
    Sessions,
    /// Odoo prefork workers that answer users; one request per worker.
    Web,
    /// Odoo's gevent server: `/longpolling` up to series 15, `/websocket` from 16.
    Live,
    /// Odoo's scheduled actions; serves no HTTP.
    Cron,
    /// Odoo workers that serve only `queue_job`, and its runner.
    Jobs,
    /// The page server that names an environment while it starts or its database is away.
    Notice,
    /// Traefik, the only entrance for users.
    Proxy,
}

impl Role {
    /// Roles that exist once per environment, in starting order.
    pub const ENVIRONMENT: [Role; 7] =
        [Role::Postgres, Role::Pooler, Role::Sessions, Role::Web, Role::Live, Role::Cron, Role::Jobs];
    /// Roles that exist once per estate, in starting order.
    pub const ESTATE: [Role; 2] = [Role::Notice, Role::Proxy];
    /// Roles that run Odoo itself.
    pub const ODOO: [Role; 4] = [Role::Web, Role::Live, Role::Cron, Role::Jobs];

    /// The word used in names, files, CLI and console.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Postgres => "postgres",
            Role::Pooler => "pooler",
            Role::Sessions => "sessions",
            Role::Web => "web",
            Role::Live => "live",
            Role::Cron => "cron",
            Role::Jobs => "jobs",
            Role::Notice => "notice",
            Role::Proxy => "proxy",
        }
    }

    /// Whether the role runs Odoo.
    pub const fn is_odoo(self) -> bool {
        matches!(self, Role::Web | Role::Live | Role::Cron | Role::Jobs)
    }

    /// The role called `word`, if there is one.
    pub fn from_word(word: &str) -> Option<Role> {
        Role::ENVIRONMENT.into_iter().chain(Role::ESTATE).find(|role| role.as_str() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something of each of a few roles, in their order. It takes no more memory than what it holds, where a
/// map of the standard library keeps room for eleven; a server holds one for each of its environments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByRole<T>(Vec<(Role, T)>);

impl<T> Default for ByRole<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> ByRole<T> {
    fn place(&self, role: Role) -> Result<usize, usize> {
        self.0.binary_search_by_key(&role, |(role, _)| *role)
    }

    /// What is there of `role`.
    pub fn get(&self, role: &Role) -> Option<&T> {
        self.place(*role).ok().map(|place| &self.0[place].1)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, role: &Role) -> Option<&mut T> {
        self.place(*role).ok().map(|place| &mut self.0[place].1)
    }

    /// Whether anything is there of `role`.
    pub fn contains_key(&self, role: &Role) -> bool {
        self.place(*role).is_ok()
    }

    /// Puts `of` in; returns what was there of `role` before.
    pub fn insert(&mut self, role: Role, of: T) -> Option<T> {
        match self.place(role) {
            Ok(place) => Some(std::mem::replace(&mut self.0[place].1, of)),
            Err(place) => {
                self.0.insert(place, (role, of));
                None
            }
        }
    }

    /// Takes out what is there of `role`.
    pub fn remove(&mut self, role: &Role) -> Option<T> {
        self.place(*role).ok().map(|place| self.0.remove(place).1)
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each role with what is there of it.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Role, &T)> {
        self.0.iter().map(|(role, of)| (role, of))
    }

    /// The same, to change it.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Role, &mut T)> {
        self.0.iter_mut().map(|(role, of)| (&*role, of))
    }

    /// The roles of which something is there.
    pub fn keys(&self) -> impl Iterator<Item = &Role> {
        self.0.iter().map(|(role, _)| role)
    }

    /// What is there, without the roles.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, of)| of)
    }
}

impl<T> FromIterator<(Role, T)> for ByRole<T> {
    /// Of a role that comes twice the last stays.
    fn from_iter<I: IntoIterator<Item = (Role, T)>>(all: I) -> Self {
        let mut made = Self::default();
        for (role, of) in all {
            made.insert(role, of);
        }
        made.0.shrink_to_fit();
        made
    }
}

impl<T: Serialize> Serialize for ByRole<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.iter())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ByRole<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::deserialize(d)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_by_role_is_as_in_a_map() {
        let all = [(Role::Web, 3), (Role::Postgres, 1), (Role::Web, 4), (Role::Proxy, 9)];
        let (mut ours, mut map): (ByRole<_>, BTreeMap<_, _>) = (all.into_iter().collect(), all.into_iter().collect());
        assert!(ours.iter().eq(map.iter()) && ours.keys().eq(map.keys()) && ours.values().eq(map.values()));
        for role in Role::ENVIRONMENT {
            assert_eq!((ours.get(&role), ours.contains_key(&role)), (map.get(&role), map.contains_key(&role)));
        }
        assert_eq!(serde_json::to_value(&ours).unwrap(), serde_json::to_value(&map).unwrap());
        assert_eq!(serde_json::from_value::<ByRole<i32>>(serde_json::to_value(&map).unwrap()).unwrap(), ours);
        for (role, number) in [(Role::Cron, 7), (Role::Web, 8)] {
            assert_eq!(ours.insert(role, number), map.insert(role, number));
        }
        for role in [Role::Web, Role::Live] {
            assert_eq!(ours.remove(&role), map.remove(&role));
        }
        assert!(ours.iter().eq(map.iter()));
        *ours.get_mut(&Role::Cron).unwrap() += 1;
        ours.iter_mut().for_each(|(_, number)| *number *= 2);
        assert!(ours.values().eq(&[2, 16, 18]));
    }
}
